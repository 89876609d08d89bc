#ifndef GPTVQ_TESTS_SUPPORT_CONSTANT_CLOCK_H_
#define GPTVQ_TESTS_SUPPORT_CONSTANT_CLOCK_H_

#include "core/base/monotonic_clock.h"

namespace gptvq {

// Time stands still, for stages whose results may not depend on it. Thread-safe.
class ConstantClock final : public MonotonicClock {
 public:
  double NowSeconds() const override { return 0; }
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_CONSTANT_CLOCK_H_
