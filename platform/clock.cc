#include "platform/clock.h"

#include <condition_variable>
#include <mutex>

namespace gptvq {

MonotonicTime SystemClock::MonotonicNow() const { return std::chrono::steady_clock::now(); }

WallTime SystemClock::WallNow() const { return std::chrono::system_clock::now(); }

void SystemClock::Sleep(std::chrono::nanoseconds duration, std::stop_token stop) {
  // A condition that nobody signals: only the stop token or the deadline ends the wait.
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace gptvq
