#ifndef GPTVQ_WORKER_RETRYING_LINK_H_
#define GPTVQ_WORKER_RETRYING_LINK_H_

#include "platform/backoff.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "worker/coordinator_link.h"

namespace gptvq {

// Repeats calls that did not get through: the one place of the worker that retries.
//
// Register, PollTask, PublishLayer, CheckpointTask, CompleteTask and FailTask are repeated, however long it takes, while the answer is
// Unavailable, DeadlineExceeded, or a refusal that says when to come back; the caller ends that by its stop token.
// DataLoss, Internal and Unknown are repeated a few times: they may come from the way there. RenewLease and
// ReleaseTask are made once: the next renewal comes anyway, and a lease that nobody releases ends by itself.
//
// Borrows everything. Thread-safe.
class RetryingLink final : public CoordinatorLink {
 public:
  RetryingLink(CoordinatorLink& link, const BackoffOptions& backoff, Clock& clock, Logger& log, Counter& retries)
      : link_(link), backoff_(backoff), clock_(clock), log_(log), retries_(retries) {}

  absl::StatusOr<Registration> Register(std::stop_token stop) override;
  absl::StatusOr<PollAnswer> PollTask(const TaskPoll& poll, std::stop_token stop) override;
  absl::StatusOr<RenewalAnswer> RenewLease(const Lease& lease, const TaskProgress& progress,
                                           std::stop_token stop) override;
  absl::Status PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) override;
  absl::Status CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token stop) override;
  absl::Status CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) override;
  absl::Status FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) override;
  absl::Status ReleaseTask(const Lease& lease, std::stop_token stop) override;

 private:
  // `call` returns a Status or a StatusOr.
  template <typename CallT>
  auto Repeat(std::string_view method, const std::stop_token& stop, const CallT& call);

  CoordinatorLink& link_;
  const BackoffOptions backoff_;
  Clock& clock_;
  Logger& log_;
  Counter& retries_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_RETRYING_LINK_H_
