#include "core/backend/formulas.h"

#include <cmath>
#include <cstdint>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(AnnealingNoise, HasMeanZeroAndVarianceOneOverRowsAndOverColumns) {
  constexpr std::uint32_t kCount = 100000;
  for (const bool over_rows : {true, false}) {
    double sum = 0;
    double square_sum = 0;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const float z = AnnealingNoise(NoiseColumnKey(77, over_rows ? 3 : i), over_rows ? i : 3);
      sum += z;
      square_sum += static_cast<double>(z) * z;
    }
    EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(double{kCount}));  // five standard errors
    EXPECT_NEAR(square_sum / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  }
}

TEST(AnnealingNoise, NeighboursAndNeighbouringKeysDoNotCorrelate) {
  constexpr std::uint32_t kCount = 100000;
  double by_row = 0;
  double by_column = 0;
  double by_key = 0;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const double z = AnnealingNoise(NoiseColumnKey(5, i % 100), i / 100);
    by_row += z * AnnealingNoise(NoiseColumnKey(5, i % 100), i / 100 + 1);
    by_column += z * AnnealingNoise(NoiseColumnKey(5, i % 100 + 1), i / 100);
    by_key += z * AnnealingNoise(NoiseColumnKey(1005, i % 100), i / 100);
  }
  const double bound = 5 * std::sqrt(double{kCount});  // five standard errors
  EXPECT_LT(std::abs(by_row), bound);
  EXPECT_LT(std::abs(by_column), bound);
  EXPECT_LT(std::abs(by_key), bound);
}

}  // namespace
}  // namespace gptvq
