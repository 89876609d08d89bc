#include "tests/support/tolerance.h"

#include <algorithm>
#include <cmath>

namespace gptvq {

testing::AssertionResult CloseBy(absl::Span<const float> actual, absl::Span<const double> expected,
                                 absl::Span<const double> scales, const Bound& bound) {
  if (actual.size() != expected.size() || scales.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " results for " << expected.size() << " expected numbers";
  }
  std::size_t worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::fabs(actual[i] - expected[i]);
    const double excess = error - bound.relative * scales[i];
    if (std::isnan(actual[i]) || std::isnan(error)) {
      return testing::AssertionFailure() << "element " << i << " is " << actual[i] << ", expected " << expected[i];
    }
    if (excess > worst_excess) {
      worst_excess = excess;
      worst = i;
    }
  }
  if (worst_excess <= 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "element " << worst << " is " << actual[worst] << ", expected "
                                     << expected[worst] << ": off by "
                                     << std::fabs(actual[worst] - expected[worst]) / scales[worst]
                                     << " of its scale, allowed " << bound.relative << " (" << bound.reason << ")";
}

testing::AssertionResult Close(absl::Span<const float> actual, absl::Span<const double> expected, const Bound& bound) {
  double largest = 0;
  for (double value : expected) largest = std::max(largest, std::fabs(value));
  const std::vector<double> scales(expected.size(), largest == 0 ? 1.0 : largest);
  return CloseBy(actual, expected, scales, bound);
}

testing::AssertionResult CloseNumber(double actual, double expected, const Bound& bound) {
  const double scale = expected == 0 ? 1.0 : std::fabs(expected);
  if (std::fabs(actual - expected) <= bound.relative * scale) return testing::AssertionSuccess();
  return testing::AssertionFailure() << actual << ", expected " << expected << ", allowed " << bound.relative
                                     << " of it (" << bound.reason << ")";
}

}  // namespace gptvq
