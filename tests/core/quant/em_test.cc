#include "core/quant/em.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(EmColumnWeights, KeepOrdinaryWeightsAsTheyAre) {
  const std::vector<float> weights = {1, 2, 3, 0.001f, 50};

  EXPECT_EQ(EmColumnWeights(weights), weights);
}

TEST(EmColumnWeights, ClipAnOutlierToItsRangeOverTheMedian) {
  const std::vector<float> weights = EmColumnWeights({1, 2, 1e9f, 2, 2});

  EXPECT_EQ(weights, (std::vector<float>{1, 2, 2 * kEmWeightRange, 2, 2}));
}

TEST(EmColumnWeights, ArePositiveForDeadStripes) {
  for (float weight : EmColumnWeights({0, 0, 0, 0})) EXPECT_GT(weight, 0);
}

}  // namespace
}  // namespace gptvq
