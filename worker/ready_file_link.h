#ifndef GPTVQ_WORKER_READY_FILE_LINK_H_
#define GPTVQ_WORKER_READY_FILE_LINK_H_

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "platform/log.h"
#include "worker/coordinator_link.h"

namespace gptvq {

// Keeps a file for as long as the coordinator answers: what a readiness probe looks at. A worker that waits for its
// coordinator is alive and not ready; a worker that drains is not ready either.
//
// Made by the first call that was answered, a refusal too; removed by a call that was not (Unavailable,
// DeadlineExceeded), by RemoveFile and by the destructor. A call that the worker itself stopped tells nothing. Every
// worker polls or renews a lease within seconds, so the file is never much older than the truth.
//
// Gone, too, while no device slot may work, and from the third task in a row that failed because of its device until one gets
// further: a worker that answers and can do nothing would look well for hours.
//
// Borrows the link and the log. Thread-safe.
class ReadyFileLink final : public CoordinatorLink {
 public:
  // A file that lies there from an earlier run is removed.
  // `may_work` tells whether any slot may; empty: they always may.
  ReadyFileLink(CoordinatorLink& link, std::string path, Logger& log, std::function<bool()> may_work = nullptr);
  ~ReadyFileLink() override;

  // From now on there is no file, whatever the coordinator answers.
  void RemoveFile();

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
  enum class State { kNotReady, kReady, kClosed };

  enum class TaskNews { kNone, kGotFurther, kDeviceFailed };
  void See(const absl::Status& status, TaskNews news = TaskNews::kNone);
  void Enter(State state);

  CoordinatorLink& link_;
  const std::string path_;
  Logger& log_;
  const std::function<bool()> may_work_;

  std::mutex mutex_;
  int failed_in_a_row_ = 0;  // tasks, because of their device
  State state_ = State::kNotReady;
  bool has_warned_ = false;  // once is enough: every answer tries again
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_READY_FILE_LINK_H_
