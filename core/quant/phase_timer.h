#ifndef GPTVQ_CORE_QUANT_PHASE_TIMER_H_
#define GPTVQ_CORE_QUANT_PHASE_TIMER_H_

#include "core/base/monotonic_clock.h"

namespace gptvq {

// Splits the time of a recipe into phases. Borrows the clock, which may be null: every phase then takes 0 seconds.
class PhaseTimer {
 public:
  explicit PhaseTimer(const MonotonicClock* clock) : clock_(clock), last_(Now()) {}

  // Adds the time since the last call, or since construction, to `seconds`.
  void Lap(double& seconds) {
    const double now = Now();
    seconds += now - last_;
    last_ = now;
  }

 private:
  double Now() const { return clock_ == nullptr ? 0.0 : clock_->NowSeconds(); }

  const MonotonicClock* clock_;
  double last_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_PHASE_TIMER_H_
