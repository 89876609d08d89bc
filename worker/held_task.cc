#include "worker/held_task.h"

namespace gptvq {

std::string_view Name(StopReason reason) {
  switch (reason) {
    case StopReason::kNone: return "none";
    case StopReason::kCancelled: return "cancelled";
    case StopReason::kLeaseLost: return "lease_lost";
    case StopReason::kDraining: return "draining";
  }
  return "";
}

void HeldTask::Stop(StopReason reason) {
  {
    std::lock_guard lock(mutex_);
    if (stop_reason_ == StopReason::kNone) stop_reason_ = reason;
  }
  stop_.request_stop();  // outside the lock: it runs the callbacks of whoever waits
}

StopReason HeldTask::stop_reason() const {
  std::lock_guard lock(mutex_);
  return stop_reason_;
}

void HeldTask::Advance(TaskProgress progress) {
  std::lock_guard lock(mutex_);
  progress.counter = progress_.counter + 1;
  progress_ = std::move(progress);
}

TaskProgress HeldTask::progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

void HeldTask::Renewed(MonotonicTime now) {
  std::lock_guard lock(mutex_);
  renewed_at_ = now;
}

MonotonicTime HeldTask::renewed_at() const {
  std::lock_guard lock(mutex_);
  return renewed_at_;
}

}  // namespace gptvq
