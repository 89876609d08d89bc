#include "worker/ready_file_link.h"

#include <fcntl.h>
#include <unistd.h>

namespace gptvq {

namespace {

constexpr int kTooManyFailures = 3;  // as many as the coordinator takes for a bad worker

}  // namespace

ReadyFileLink::ReadyFileLink(CoordinatorLink& link, std::string path, Logger& log, std::function<bool()> may_work)
    : link_(link), path_(std::move(path)), log_(log), may_work_(std::move(may_work)) {
  unlink(path_.c_str());
}

ReadyFileLink::~ReadyFileLink() { RemoveFile(); }

void ReadyFileLink::RemoveFile() {
  std::lock_guard lock(mutex_);
  Enter(State::kClosed);
}

absl::StatusOr<Registration> ReadyFileLink::Register(std::stop_token stop) {
  auto result = link_.Register(std::move(stop));
  See(result.status());
  return result;
}

absl::StatusOr<PollAnswer> ReadyFileLink::PollTask(const TaskPoll& poll, std::stop_token stop) {
  auto result = link_.PollTask(poll, std::move(stop));
  See(result.status());
  return result;
}

absl::StatusOr<RenewalAnswer> ReadyFileLink::RenewLease(const Lease& lease, const TaskProgress& progress,
                                                        std::stop_token stop) {
  auto result = link_.RenewLease(lease, progress, std::move(stop));
  See(result.status());
  return result;
}

absl::Status ReadyFileLink::PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) {
  absl::Status status = link_.PublishLayer(lease, layer, std::move(stop));
  See(status, status.ok() ? TaskNews::kGotFurther : TaskNews::kNone);
  return status;
}

absl::Status ReadyFileLink::CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token stop) {
  absl::Status status = link_.CheckpointTask(lease, checkpoint, std::move(stop));
  See(status);
  return status;
}

absl::Status ReadyFileLink::CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) {
  absl::Status status = link_.CompleteTask(lease, result, std::move(stop));
  See(status, status.ok() ? TaskNews::kGotFurther : TaskNews::kNone);
  return status;
}

absl::Status ReadyFileLink::FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) {
  absl::Status status = link_.FailTask(lease, failure, std::move(stop));
  See(status, failure.failure_class == FailureClass::kDevice ? TaskNews::kDeviceFailed : TaskNews::kNone);
  return status;
}

absl::Status ReadyFileLink::ReleaseTask(const Lease& lease, std::stop_token stop) {
  absl::Status status = link_.ReleaseTask(lease, std::move(stop));
  See(status);
  return status;
}

void ReadyFileLink::See(const absl::Status& status, TaskNews news) {
  const bool may_work = may_work_ == nullptr || may_work_();
  std::lock_guard lock(mutex_);
  if (news == TaskNews::kGotFurther) failed_in_a_row_ = 0;
  if (news == TaskNews::kDeviceFailed) ++failed_in_a_row_;
  if (state_ == State::kClosed || absl::IsCancelled(status)) return;
  const bool answered = !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
  Enter(answered && may_work && failed_in_a_row_ < kTooManyFailures ? State::kReady : State::kNotReady);
}

// Under mutex_.
void ReadyFileLink::Enter(State state) {
  if (state == state_) return;
  state_ = state;
  if (state != State::kReady) {
    unlink(path_.c_str());
    return;
  }
  const int file = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file >= 0) {
    close(file);
    return;
  }
  state_ = State::kNotReady;
  if (!std::exchange(has_warned_, true)) log_.Warning("cannot make the ready file", {{"path", path_}});
}

}  // namespace gptvq
