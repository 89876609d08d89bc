#include "tests/worker/fake_coordinator.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {

using std::chrono::milliseconds;

void FakeCoordinator::Grant(TaskGrant grant) {
  std::lock_guard lock(mutex_);
  grants_.push_back(std::move(grant));
  changed_.notify_all();
}

void FakeCoordinator::AnswerNext(const std::string& method, absl::Status status) {
  std::lock_guard lock(mutex_);
  answers_[method].push_back(std::move(status));
  changed_.notify_all();
}

void FakeCoordinator::RequestCancel() {
  std::lock_guard lock(mutex_);
  cancel_requested_ = true;
}

void FakeCoordinator::Await(const std::string& prefix, int count) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return std::count_if(calls_.begin(), calls_.end(), [&](const auto& call) { return call.starts_with(prefix); }) >=
           count;
  });
}

std::vector<std::string> FakeCoordinator::Calls() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> calls;
  std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(calls),
               [](const std::string& call) { return !call.starts_with("poll"); });
  return calls;
}

std::vector<std::string> FakeCoordinator::CallsOf(const std::string& prefix) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> calls;
  std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(calls),
               [&](const std::string& call) { return call.starts_with(prefix); });
  return calls;
}

absl::StatusOr<Registration> FakeCoordinator::Register(std::stop_token) {
  GPTVQ_RETURN_IF_ERROR(Take("register", "register"));
  return Registration{"file:///artifacts", milliseconds(10'000), milliseconds(30'000)};
}

absl::StatusOr<PollAnswer> FakeCoordinator::PollTask(const TaskPoll& poll, std::stop_token stop) {
  GPTVQ_RETURN_IF_ERROR(Take("poll", absl::StrCat("poll ", std::string(poll.poll_id))));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [&] { return !grants_.empty() || !answers_["poll"].empty(); });
  if (stop.stop_requested()) return absl::CancelledError("stopped");
  if (grants_.empty()) return PollAnswer{};  // the next poll takes the scripted answer
  PollAnswer answer = {.grant = std::move(grants_.front())};
  grants_.pop_front();
  return answer;
}

absl::StatusOr<RenewalAnswer> FakeCoordinator::RenewLease(const Lease& lease, const TaskProgress& progress,
                                                          std::stop_token) {
  GPTVQ_RETURN_IF_ERROR(
      Take("renew", absl::StrCat("renew ", lease.task_id, " layer=", progress.layer, " step=", progress.step)));
  std::lock_guard lock(mutex_);
  return cancel_requested_ ? RenewalAnswer::kCancelRequested : RenewalAnswer::kContinue;
}

absl::Status FakeCoordinator::PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token) {
  return Take("publish",
              absl::StrCat("publish ", lease.task_id, " ", layer.layer, " (", layer.packed.size(), " bytes)"));
}

absl::Status FakeCoordinator::CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token) {
  return Take("checkpoint", absl::StrCat("checkpoint ", lease.task_id, " ", checkpoint.layer, " number ",
                                         checkpoint.sequence, " (", checkpoint.linears.size(), " linears)"));
}

absl::Status FakeCoordinator::CompleteTask(const Lease& lease, const TaskResult&, std::stop_token) {
  return Take("complete", absl::StrCat("complete ", lease.task_id));
}

absl::Status FakeCoordinator::FailTask(const Lease& lease, const FailureReport& failure, std::stop_token) {
  std::string line =
      absl::StrCat("fail ", lease.task_id, " ", std::string(Name(failure.failure_class)), ": ", failure.message);
  for (const Digest& artifact : failure.lost_artifacts) line += absl::StrCat(" lost ", artifact.hex());
  return Take("fail", line);
}

absl::Status FakeCoordinator::ReleaseTask(const Lease& lease, std::stop_token) {
  return Take("release", absl::StrCat("release ", lease.task_id));
}

absl::Status FakeCoordinator::Take(const std::string& method, const std::string& line) {
  std::lock_guard lock(mutex_);
  calls_.push_back(line);
  changed_.notify_all();
  std::deque<absl::Status>& answers = answers_[method];
  if (answers.empty()) return absl::OkStatus();
  absl::Status status = std::move(answers.front());
  answers.pop_front();
  return status;
}

TaskGrant AGrant(const std::string& task_id) {
  TaskGrant grant;
  grant.lease = {.task_id = task_id, .epoch = 7, .worker_name = "w", .incarnation = "i", .token = "t"};
  grant.ttl = milliseconds(30'000);
  grant.kind = TaskKind::kQuantize;
  grant.attempt = 1;
  grant.job_id = "job-0123456789abcdef";
  grant.spec.model_uri = "file:///model";
  grant.spec.calibration_uris = {"file:///text"};
  grant.spec.output_uri = "file:///output";
  grant.layer_count = 2;
  grant.layers = {0, 2};
  return grant;
}

}  // namespace gptvq
