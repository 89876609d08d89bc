#include "core/quant/block_scale.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

std::vector<float> RoundTrip(const std::vector<float>& magnitudes, std::int64_t rows, std::int64_t blocks) {
  BlockScales scales = MakeBlockScales(rows, blocks * 16, 16);
  const MatrixView<const float> maxima(magnitudes.data(), rows, blocks);
  EncodeBlockScales(maxima, RangesOfLogs(maxima), 0, scales);
  std::vector<float> decoded(magnitudes.size());
  DecodeBlockScales(scales, 0, MatrixView<float>(decoded.data(), rows, blocks));
  return decoded;
}

TEST(BlockScales, StayWithinHalfAStepOfTheLogarithm) {
  std::vector<float> magnitudes = TestRandom(1).Uniforms(200 * 3, -4, 4);
  for (float& m : magnitudes) m = std::exp2(m);

  const std::vector<float> decoded = RoundTrip(magnitudes, 200, 3);

  const float half_step = 8.0f / 15 / 2;
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    EXPECT_LE(std::abs(std::log2(decoded[i] / magnitudes[i])), half_step * 1.001f);
  }
}

TEST(BlockScales, GiveAZeroBlockTheSmallestScaleOfItsColumn) {
  const std::vector<float> decoded = RoundTrip({4, 0, 0.5f, 2}, 4, 1);

  EXPECT_NEAR(decoded[0], 4, 1e-5);
  EXPECT_NEAR(decoded[1], 0.5, 1e-6);  // not 1, which would stretch the range
  EXPECT_NEAR(decoded[2], 0.5, 1e-6);
}

TEST(BlockScales, KeepScaleOneInAColumnOfZerosAndAreExactForEqualRows) {
  EXPECT_EQ(RoundTrip({0, 0, 0}, 3, 1), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(RoundTrip({0.25f, 0.25f}, 2, 1), (std::vector<float>{0.25f, 0.25f}));
}

TEST(BlockScales, WriteOnlyTheBlocksTheyAreAskedFor) {
  BlockScales scales = MakeBlockScales(2, 48, 16);
  const std::vector<float> magnitudes = {8, 2};

  const MatrixView<const float> maxima(magnitudes.data(), 2, 1);
  EncodeBlockScales(maxima, RangesOfLogs(maxima), 1, scales);

  EXPECT_EQ(scales.codes, (std::vector<std::uint8_t>{0, 15, 0, 0, 0, 0}));
  EXPECT_EQ(scales.offsets, (std::vector<float>{0, 1, 0}));
}

}  // namespace
}  // namespace gptvq
