#include "worker/lease_loop.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/device_lost.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/thread_name.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestPause(60'000);
constexpr milliseconds kShortestHeartbeat(100);  // against a coordinator that says 0

double SecondsBetween(MonotonicTime begin, MonotonicTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

// What an answer about a lease means for holding it; nullopt: nothing.
std::optional<StopReason> StopReasonOf(const absl::Status& status) {
  // Our certificate does not count any more: what we hold goes to another worker.
  if (absl::IsUnauthenticated(status)) return StopReason::kLeaseLost;
  const std::optional<ErrorReason> reason = ReasonOf(status);
  if (!reason) return std::nullopt;
  switch (*reason) {
    case ErrorReason::kStaleEpoch:
    case ErrorReason::kNotHeld:
    case ErrorReason::kTaskUnknown:
    case ErrorReason::kBadLeaseToken:
    case ErrorReason::kRollbackSuspected: return StopReason::kLeaseLost;
    case ErrorReason::kJobCancelled: return StopReason::kCancelled;
    default: return std::nullopt;
  }
}

// Requests a stop when a time has passed.
class Timeout {
 public:
  Timeout(Clock& clock, milliseconds duration)
      : thread_([this, &clock, duration](std::stop_token stop) {
          clock.Sleep(duration, stop);
          source_.request_stop();
        }) {}

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread thread_;  // last: it ends before the source goes
};

// The executor calls libraries that throw; past this point an exception would end every task of the process.
absl::StatusOr<TaskResult> ExecuteCaught(TaskExecutor& executor, const TaskGrant& grant, TaskSession& session) {
  try {
    return executor.Execute(grant, session);
  } catch (const std::bad_alloc&) {
    return absl::AbortedError("out of memory");
  } catch (const std::exception& exception) {
    return absl::InternalError(absl::StrCat("unexpected exception: ", exception.what()));
  }
}

// Whether the device of a slot can be trusted with what it did since this was made.
class Soundness {
 public:
  Soundness(DeviceWatch& devices, int slot) : devices_(devices), slot_(slot), mark_(devices.MarkOf(slot)) {}

  absl::Status Check() const { return devices_.CheckSince(slot_, mark_); }

 private:
  DeviceWatch& devices_;
  const int slot_;
  const DeviceWatch::Mark mark_;
};

}  // namespace

class LeaseLoop::Session final : public TaskSession {
 public:
  Session(LeaseLoop& loop, HeldTask& task, const Soundness& soundness, std::string artifact_store_uri)
      : loop_(loop),
        task_(task),
        soundness_(soundness),
        artifact_store_uri_(std::move(artifact_store_uri)),
        last_published_(loop.clock_.MonotonicNow()) {}

  absl::Status ReportProgress(int layer, std::string_view step, double fraction) override {
    task_.Advance({.fraction = fraction, .layer = layer, .step = std::string(step)});
    return CheckHeld();
  }

  absl::Status PublishLayer(int layer, std::string_view packed, const std::vector<LinearReport>& linears) override {
    GPTVQ_RETURN_IF_ERROR(soundness_.Check());
    const LayerPublication publication = {.layer = layer, .packed = packed, .linears = linears};
    const absl::Status status = loop_.link_.PublishLayer(task_.lease(), publication, task_.stop_token());
    if (const auto reason = StopReasonOf(status)) task_.Stop(*reason);
    GPTVQ_RETURN_IF_ERROR(CheckHeld());
    // The coordinator refuses the layer itself: whatever the code, the input of the task is not to blame.
    if (!status.ok()) return absl::InternalError(absl::StrCat("publishing layer ", layer, ": ", status.ToString()));

    const MonotonicTime now = loop_.clock_.MonotonicNow();
    loop_.metrics_.layer_seconds.Observe(SecondsBetween(std::exchange(last_published_, now), now));
    loop_.metrics_.CountLayer(packed.size(), linears);
    loop_.log_.Info("layer published", {{"task", task_.lease().task_id}, {"layer", layer}, {"bytes", packed.size()}});
    return absl::OkStatus();
  }

  absl::Status KeepCheckpoint(const TaskCheckpoint& checkpoint, std::stop_token abandoned) override {
    std::stop_source ended;  // by either of the two
    const std::stop_callback on_abandoned(std::move(abandoned), [&ended] { ended.request_stop(); });
    const std::stop_callback on_stop(task_.stop_token(), [&ended] { ended.request_stop(); });
    const absl::Status status = loop_.link_.CheckpointTask(task_.lease(), checkpoint, ended.get_token());
    if (const auto reason = StopReasonOf(status)) task_.Stop(*reason);
    return status;
  }

  const std::string& artifact_store_uri() const override { return artifact_store_uri_; }

 private:
  absl::Status CheckHeld() const {
    const StopReason reason = task_.stop_reason();
    if (reason == StopReason::kNone) return absl::OkStatus();
    return absl::CancelledError(absl::StrCat("task stopped: ", std::string(Name(reason))));
  }

  LeaseLoop& loop_;
  HeldTask& task_;
  const Soundness& soundness_;
  const std::string artifact_store_uri_;
  MonotonicTime last_published_;
};

LeaseLoop::LeaseLoop(const LeaseLoopOptions& options, const std::vector<TaskExecutor*>& executors, DeviceWatch& devices,
                     CoordinatorLink& link, Clock& clock, Logger& log, WorkerMetrics& metrics)
    : options_(options), devices_(devices), link_(link), clock_(clock), log_(log), metrics_(metrics) {
  for (TaskExecutor* executor : executors) slots_.push_back({*executor, static_cast<int>(slots_.size()), nullptr});
  metrics_.slots.Set(static_cast<double>(slots_.size()));
  devices_.OnChange([this] {
    { std::lock_guard lock(mutex_); }  // so that nobody misses it between looking and waiting
    changed_.notify_all();
  });
}

LeaseLoop::~LeaseLoop() { devices_.OnChange(nullptr); }

absl::Status LeaseLoop::Run(std::stop_token drain) {
  const std::stop_callback on_drain(std::move(drain), [this] { Shut(absl::OkStatus()); });
  if (const absl::Status status = Register(); !status.ok()) {
    return stop_.stop_requested() ? absl::OkStatus() : status;
  }
  {
    // Destroyed in reverse order: executors are stopped when nothing can be assigned any more, and leases are renewed
    // until the last executor is done.
    const std::jthread renewal([this](std::stop_token stop) { RenewLeases(std::move(stop)); });
    std::vector<std::jthread> executors;
    for (Slot& slot : slots_) {
      executors.emplace_back([this, &slot](std::stop_token stop) { RunSlot(slot, std::move(stop)); });
    }
    LeaseTasks();
  }
  std::lock_guard lock(mutex_);
  return status_;
}

void LeaseLoop::LeaseTasks() {
  for (std::uint64_t poll_number = 1; Slot* slot = AwaitIdleSlot(); ++poll_number) {
    const absl::Status status = PollOnce(*slot, poll_number);
    if (!status.ok()) Shut(status);
  }
}

LeaseLoop::Slot* LeaseLoop::AwaitIdleSlot() {
  std::unique_lock lock(mutex_);
  Slot* idle = nullptr;
  changed_.wait(lock, stop_.get_token(), [&] {
    const auto it = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
      return slot.task == nullptr && devices_.MayTakeTask(slot.index);
    });
    if (it != slots_.end()) idle = &*it;
    return idle != nullptr;
  });
  return stop_.stop_requested() ? nullptr : idle;
}

absl::Status LeaseLoop::PollOnce(Slot& slot, std::uint64_t poll_number) {
  const std::string poll_id = absl::StrCat("poll-", poll_number);
  const std::string slot_name = devices_.NameOf(slot.index);
  absl::StatusOr<PollAnswer> answer =
      link_.PollTask({.poll_id = poll_id, .slot = slot_name, .wait = options_.poll_wait}, stop_.get_token());
  if (stop_.stop_requested() && !answer.ok()) return absl::OkStatus();
  if (ReasonOf(answer.status()) == ErrorReason::kWorkerUnknown) return Register();
  GPTVQ_RETURN_IF_ERROR(answer.status());
  if (answer->grant && !devices_.MayTakeTask(slot.index)) {
    Refuse(*answer->grant);
  } else if (answer->grant) {
    Assign(slot, *std::move(answer->grant));
  } else {
    clock_.Sleep(std::min(answer->retry_after, kLongestPause), stop_.get_token());
  }
  return absl::OkStatus();
}

absl::Status LeaseLoop::Register() {
  absl::StatusOr<Registration> registration = link_.Register(stop_.get_token());
  if (stop_.stop_requested()) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(registration.status());
  log_.Info("registered with the coordinator", {{"artifact_store", registration->artifact_store_uri},
                                                {"heartbeat_ms", registration->heartbeat_period.count()},
                                                {"lease_ttl_ms", registration->lease_ttl.count()}});
  std::lock_guard lock(mutex_);
  registration_ = *std::move(registration);
  registration_.heartbeat_period = std::max(registration_.heartbeat_period, kShortestHeartbeat);
  return absl::OkStatus();
}

void LeaseLoop::Assign(Slot& slot, TaskGrant grant) {
  log_.Info("task leased", {{"task", grant.lease.task_id},
                            {"epoch", grant.lease.epoch},
                            {"attempt", grant.attempt},
                            {"published_layers", grant.published_layers.size()},
                            {"checkpointed_linears", grant.checkpoint ? grant.checkpoint->linears.size() : 0}});
  auto task = std::make_shared<HeldTask>(std::move(grant), clock_.MonotonicNow());
  {
    std::lock_guard lock(mutex_);
    slot.task = task;
    metrics_.busy_slots.Increment();
  }
  if (stop_.stop_requested()) task->Stop(StopReason::kDraining);  // Shut may have come before the slot had it
  changed_.notify_all();
}

void LeaseLoop::Refuse(const TaskGrant& grant) {
  const absl::Status status = link_.ReleaseTask(grant.lease, stop_.get_token());
  log_.Info("task given back: the device went out", {{"task", grant.lease.task_id}, {"status", status.ToString()}});
}

void LeaseLoop::RenewLeases(std::stop_token stop) {
  NameThisThread("renewal");
  while (true) {
    milliseconds period;
    {
      std::lock_guard lock(mutex_);
      period = registration_.heartbeat_period;
    }
    clock_.Sleep(period, stop);
    if (stop.stop_requested()) return;
    std::vector<std::shared_ptr<HeldTask>> held;
    {
      std::lock_guard lock(mutex_);
      for (const Slot& slot : slots_) {
        if (slot.task != nullptr) held.push_back(slot.task);
      }
    }
    for (const std::shared_ptr<HeldTask>& task : held) Renew(*task, stop);
    // Nobody polls then either. A failure is no matter: the next heartbeat comes anyway.
    if (held.empty() && !devices_.AnyMayTakeTask()) (void)link_.Register(stop);
  }
}

void LeaseLoop::Renew(HeldTask& task, std::stop_token stop) {
  const absl::StatusOr<RenewalAnswer> answer = link_.RenewLease(task.lease(), task.progress(), std::move(stop));
  const MonotonicTime now = clock_.MonotonicNow();
  if (answer.ok()) {
    task.Renewed(now);
    if (*answer == RenewalAnswer::kCancelRequested) task.Stop(StopReason::kCancelled);
    return;
  }
  log_.Warning("lease not renewed", {{"task", task.lease().task_id}, {"error", answer.status().ToString()}});
  if (const auto reason = StopReasonOf(answer.status())) {
    task.Stop(*reason);
  } else if (now - task.renewed_at() >= options_.orphan_timeout) {
    task.Stop(StopReason::kLeaseLost);
  }
}

void LeaseLoop::RunSlot(Slot& slot, std::stop_token stop) {
  NameThisThread("executor");
  while (const std::shared_ptr<HeldTask> task = AwaitTask(slot, stop)) {
    RunTask(slot, *task);
    {
      std::lock_guard lock(mutex_);
      slot.task = nullptr;
      metrics_.busy_slots.Decrement();
    }
    changed_.notify_all();
  }
}

std::shared_ptr<HeldTask> LeaseLoop::AwaitTask(Slot& slot, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, std::move(stop), [&] { return slot.task != nullptr; });
  return slot.task;  // a task that was given before the stop is still ended in order
}

void LeaseLoop::RunTask(Slot& slot, HeldTask& task) {
  const MonotonicTime begin = clock_.MonotonicNow();
  std::string artifact_store_uri;
  {
    std::lock_guard lock(mutex_);
    artifact_store_uri = registration_.artifact_store_uri;
  }
  absl::StatusOr<TaskResult> result = absl::CancelledError();
  if (task.stop_reason() == StopReason::kNone) {
    const Soundness soundness(devices_, slot.index);
    Session session(*this, task, soundness, std::move(artifact_store_uri));
    result = ExecuteCaught(slot.executor, task.grant(), session);
    // What a device at fault says of the work, good or bad, is not to be believed.
    const bool ended_by_itself = task.stop_reason() == StopReason::kNone || result.ok();
    if (ended_by_itself && !IsDeviceLost(result.status())) {
      if (const absl::Status sound = soundness.Check(); !sound.ok()) result = sound;
    }
  }
  const TaskEnd end = EndTask(task, result);
  const double seconds = SecondsBetween(begin, clock_.MonotonicNow());
  metrics_.CountTask(task.grant().kind, end, seconds);
  if (end == TaskEnd::kLost) metrics_.lease_losses.Increment();
  log_.Info("task ended", {{"task", task.lease().task_id},
                           {"result", Name(end)},
                           {"seconds", seconds},
                           {"status", result.status().ToString()}});
  if (IsDeviceLost(result.status())) return Shut(result.status());
  if (!IsDeviceFault(result.status()) || !devices_.MayTakeTask(slot.index)) return;
  if (const absl::Status tested = devices_.Test(slot.index); IsDeviceLost(tested)) Shut(tested);
}

TaskEnd LeaseLoop::EndTask(HeldTask& task, const absl::StatusOr<TaskResult>& result) {
  // A lost device leaves no time to wait for a coordinator that is away.
  std::optional<Timeout> farewell;
  std::stop_token stop = task.stop_token();
  if (stop.stop_requested() || IsDeviceLost(result.status())) {
    stop = farewell.emplace(clock_, options_.farewell_timeout).token();
  }
  // What is done counts although the worker is draining.
  const bool has_news =
      task.stop_reason() == StopReason::kNone || (task.stop_reason() == StopReason::kDraining && result.ok());
  if (has_news) {
    const TaskEnd end = Report(task, result, stop);
    if (end != TaskEnd::kLost) return end;
  }
  if (task.stop_reason() == StopReason::kLeaseLost || task.stop_reason() == StopReason::kNone) return TaskEnd::kLost;
  if (!farewell) stop = farewell.emplace(clock_, options_.farewell_timeout).token();
  const absl::Status status = link_.ReleaseTask(task.lease(), stop);
  if (status.ok()) return TaskEnd::kReleased;
  log_.Warning("task not released; its lease will expire",
               {{"task", task.lease().task_id}, {"error", status.ToString()}});
  return TaskEnd::kLost;
}

TaskEnd LeaseLoop::Report(HeldTask& task, const absl::StatusOr<TaskResult>& result, std::stop_token stop) {
  absl::Status failure = result.status();
  FailureClass failure_class = FailureClassOf(failure);
  if (result.ok()) {
    const absl::Status status = link_.CompleteTask(task.lease(), *result, stop);
    if (status.ok()) return TaskEnd::kCompleted;
    if (const auto reason = StopReasonOf(status)) task.Stop(*reason);
    if (stop.stop_requested() || task.stop_reason() != StopReason::kNone) return TaskEnd::kLost;
    failure = WithContext(status, "the coordinator did not take the result");
    failure_class = ReasonOf(status) == ErrorReason::kOutputMissing ? FailureClass::kTransient : FailureClass::kBug;
  }
  log_.Error("task failed",
             {{"task", task.lease().task_id}, {"class", Name(failure_class)}, {"error", failure.ToString()}});
  const absl::Status status = link_.FailTask(
      task.lease(), {failure_class, std::string(failure.message()), LostArtifactsOf(failure)}, std::move(stop));
  if (status.ok()) return TaskEnd::kFailed;
  log_.Warning("failure not reported", {{"task", task.lease().task_id}, {"error", status.ToString()}});
  if (const auto reason = StopReasonOf(status)) task.Stop(*reason);
  return TaskEnd::kLost;
}

void LeaseLoop::Shut(const absl::Status& status) {
  std::vector<std::shared_ptr<HeldTask>> held;
  {
    std::lock_guard lock(mutex_);
    status_.Update(status);
    for (const Slot& slot : slots_) {
      if (slot.task != nullptr) held.push_back(slot.task);
    }
  }
  stop_.request_stop();
  for (const std::shared_ptr<HeldTask>& task : held) task->Stop(StopReason::kDraining);
}

}  // namespace gptvq
