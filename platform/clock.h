#ifndef GPTVQ_PLATFORM_CLOCK_H_
#define GPTVQ_PLATFORM_CLOCK_H_

#include <chrono>
#include <stop_token>

namespace gptvq {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Where time enters the program. Components that wait or measure borrow a Clock, so that tests drive them with a
// FakeClock (tests/support/fake_clock.h); nothing else in the project asks the system for the time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Never goes back; for leases, timeouts and durations. Its origin means nothing.
  virtual MonotonicTime MonotonicNow() const = 0;

  // The date, for people and for signatures that carry it: it may jump. Nothing is decided by it.
  virtual WallTime WallNow() const = 0;

  // Returns when `duration` has passed on the monotonic clock or `stop` is requested, whichever is first; at once when
  // `duration` is not positive.
  virtual void Sleep(std::chrono::nanoseconds duration, std::stop_token stop) = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime MonotonicNow() const override;
  WallTime WallNow() const override;
  void Sleep(std::chrono::nanoseconds duration, std::stop_token stop) override;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_CLOCK_H_
