#include "tests/support/fake_clock.h"

namespace gptvq {

MonotonicTime FakeClock::MonotonicNow() const {
  std::lock_guard lock(mutex_);
  return monotonic_now_;
}

WallTime FakeClock::WallNow() const {
  std::lock_guard lock(mutex_);
  return wall_now_;
}

void FakeClock::Sleep(std::chrono::nanoseconds duration, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const MonotonicTime deadline = monotonic_now_ + duration;
  if (monotonic_now_ >= deadline) return;
  // Advance removes the deadlines that it passes, so that AwaitSleepers never counts a thread that is about to leave.
  deadlines_.insert(deadline);
  changed_.notify_all();
  changed_.wait(lock, stop, [&] { return monotonic_now_ >= deadline; });
  if (monotonic_now_ < deadline) deadlines_.erase(deadlines_.find(deadline));
}

void FakeClock::Advance(std::chrono::nanoseconds duration) {
  std::lock_guard lock(mutex_);
  monotonic_now_ += duration;
  wall_now_ += std::chrono::duration_cast<WallTime::duration>(duration);
  deadlines_.erase(deadlines_.begin(), deadlines_.upper_bound(monotonic_now_));
  changed_.notify_all();
}

void FakeClock::JumpWallTime(std::chrono::nanoseconds offset) {
  std::lock_guard lock(mutex_);
  wall_now_ += std::chrono::duration_cast<WallTime::duration>(offset);
}

void FakeClock::AwaitSleepers(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return static_cast<int>(deadlines_.size()) >= count; });
}

}  // namespace gptvq
