#ifndef GPTVQ_TESTS_SUPPORT_FAKE_CLOCK_H_
#define GPTVQ_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stop_token>

#include "platform/clock.h"

namespace gptvq {

// A clock that moves only when the test says so. Thread-safe.
//
// A sleeper's deadline is fixed when it falls asleep, so a test waits for it before moving the time:
//   clock.AwaitSleepers(1);
//   clock.Advance(10s);
class FakeClock final : public Clock {
 public:
  MonotonicTime MonotonicNow() const override;
  WallTime WallNow() const override;
  void Sleep(std::chrono::nanoseconds duration, std::stop_token stop) override;

  // Moves both clocks forward and wakes whoever is due.
  void Advance(std::chrono::nanoseconds duration);
  // Moves the wall clock alone, in either direction.
  void JumpWallTime(std::chrono::nanoseconds offset);
  // Blocks until `count` threads or more are inside Sleep and not yet due.
  void AwaitSleepers(int count);

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  MonotonicTime monotonic_now_ = MonotonicTime(std::chrono::hours(1));
  WallTime wall_now_ = WallTime(std::chrono::hours(24 * 365 * 50));  // some day in 2019
  std::multiset<MonotonicTime> deadlines_;                           // of the sleepers that are not yet due
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_FAKE_CLOCK_H_
