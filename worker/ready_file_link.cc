#include "worker/ready_file_link.h"

#include <fcntl.h>
#include <unistd.h>

namespace gptvq {

ReadyFileLink::ReadyFileLink(CoordinatorLink& link, std::string path, Logger& log)
    : link_(link), path_(std::move(path)), log_(log) {
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

absl::StatusOr<PollAnswer> ReadyFileLink::PollTask(std::string_view poll_id, std::chrono::milliseconds wait,
                                                   std::stop_token stop) {
  auto result = link_.PollTask(poll_id, wait, std::move(stop));
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
  See(status);
  return status;
}

absl::Status ReadyFileLink::CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) {
  absl::Status status = link_.CompleteTask(lease, result, std::move(stop));
  See(status);
  return status;
}

absl::Status ReadyFileLink::FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) {
  absl::Status status = link_.FailTask(lease, failure, std::move(stop));
  See(status);
  return status;
}

absl::Status ReadyFileLink::ReleaseTask(const Lease& lease, std::stop_token stop) {
  absl::Status status = link_.ReleaseTask(lease, std::move(stop));
  See(status);
  return status;
}

void ReadyFileLink::See(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  if (state_ == State::kClosed || absl::IsCancelled(status)) return;
  const bool answered = !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
  Enter(answered ? State::kReady : State::kNotReady);
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
