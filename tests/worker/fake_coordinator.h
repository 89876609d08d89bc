#ifndef GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_H_
#define GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "worker/coordinator_link.h"

namespace gptvq {

// A coordinator in memory: hands out the grants that a test queues, writes down every call as one line, and answers as it is
// told. Thread-safe.
//
//   register / poll poll-1 / renew T layer=3 / publish T 3 (17 bytes) / complete T / fail T input: message / release T
class FakeCoordinator final : public CoordinatorLink {
 public:
  // Queued; a poll waits until there is a grant.
  void Grant(TaskGrant grant);
  // The next call of `method` ("register", "poll", ...) answers this status; queued per method.
  void AnswerNext(const std::string& method, absl::Status status);
  // Renewals ask for cancellation from now on.
  void RequestCancel();

  // Blocks until a call that begins with `prefix` was made `count` times.
  void Await(const std::string& prefix, int count = 1) const;
  // All calls so far, polls left out.
  std::vector<std::string> Calls() const;
  std::vector<std::string> CallsOf(const std::string& prefix) const;

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
  // Writes the call down and takes the scripted answer of its method, OK if there is none.
  absl::Status Take(const std::string& method, const std::string& line);

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::deque<TaskGrant> grants_;
  std::map<std::string, std::deque<absl::Status>> answers_;
  std::vector<std::string> calls_;
  bool cancel_requested_ = false;
};

// A grant of a quantize task over layers [0, 2).
TaskGrant AGrant(const std::string& task_id);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_FAKE_COORDINATOR_H_
