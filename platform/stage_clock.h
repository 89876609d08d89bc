#ifndef GPTVQ_PLATFORM_STAGE_CLOCK_H_
#define GPTVQ_PLATFORM_STAGE_CLOCK_H_

#include "core/base/monotonic_clock.h"
#include "platform/clock.h"

namespace gptvq {

// A Clock as core/ sees it: seconds for reports. Borrows the clock. Thread-safe.
class StageClock final : public MonotonicClock {
 public:
  explicit StageClock(const Clock& clock) : clock_(clock) {}

  double NowSeconds() const override {
    return std::chrono::duration<double>(clock_.MonotonicNow().time_since_epoch()).count();
  }

 private:
  const Clock& clock_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_STAGE_CLOCK_H_
