#ifndef GPTVQ_TESTS_SUPPORT_TOLERANCE_H_
#define GPTVQ_TESTS_SUPPORT_TOLERANCE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace gptvq {

// How far a result may be from its float64 reference, and why that far: the reason is printed with a failure.
struct Bound {
  double relative = 0;
  std::string_view reason;
};

// Unit roundoff of f32.
inline constexpr double kFloatRoundoff = 0x1.0p-24;

// Passes when every |actual - expected| is at most bound.relative * scale. `scale` defaults to the largest magnitude of
// `expected` (1 when that is 0). A NaN, which is what unwritten outputs hold in these tests, always fails.
testing::AssertionResult Close(absl::Span<const float> actual, absl::Span<const double> expected, const Bound& bound);

// As above with a scale per element: the sum of the magnitudes that were added up to it. Elements of scale 0 must be
// exact.
testing::AssertionResult CloseBy(absl::Span<const float> actual, absl::Span<const double> expected,
                                 absl::Span<const double> scales, const Bound& bound);

// One number.
testing::AssertionResult CloseNumber(double actual, double expected, const Bound& bound);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_TOLERANCE_H_
