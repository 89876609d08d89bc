#include "core/quant/em.h"

#include <algorithm>
#include <limits>

namespace gptvq {

std::vector<float> EmColumnWeights(absl::Span<const float> conditional_weights) {
  std::vector<float> weights(conditional_weights.begin(), conditional_weights.end());
  std::vector<float> sorted = weights;
  const auto middle = sorted.begin() + sorted.size() / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  const float highest = std::max(*middle * kEmWeightRange, std::numeric_limits<float>::min());
  for (float& weight : weights) weight = std::clamp(weight, std::numeric_limits<float>::min(), highest);
  return weights;
}

}  // namespace gptvq
