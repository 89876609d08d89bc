#include "core/backend/formulas.h"

#include <cmath>

#include "core/base/philox.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(UniformGrid, RangeAlwaysHoldsZero) {
  EXPECT_EQ(UniformScale(1.0f, 3.0f, 3), 1.0f);    // [0, 3]
  EXPECT_EQ(UniformScale(-6.0f, -3.0f, 3), 2.0f);  // [-6, 0]
  EXPECT_EQ(UniformScale(-1.0f, 2.0f, 3), 1.0f);
  EXPECT_EQ(UniformScale(0.0f, 0.0f, 4), 0.5f);  // nothing but zeros: [-1, 1]
}

TEST(UniformGrid, ZeroPointIsTheCodeOfZero) {
  EXPECT_EQ(UniformZeroPoint(1.0f, 3.0f, 1.0f, 3), 0.0f);
  EXPECT_EQ(UniformZeroPoint(-6.0f, -3.0f, 2.0f, 3), 3.0f);
  EXPECT_EQ(UniformZeroPoint(-1.0f, 2.0f, 1.0f, 3), 1.0f);
  EXPECT_EQ(UniformZeroPoint(0.0f, 0.0f, 0.5f, 4), 2.0f);
  EXPECT_EQ(UniformZeroPoint(-100.0f, 2.0f, 1.0f, 3), 3.0f) << "clamped when the scale was rounded down";
}

TEST(UniformGrid, CodesRoundToNearestEvenAndStayInRange) {
  const UniformGrid grid = {.scale = 2.0f, .zero_point = 1.0f};

  EXPECT_EQ(UniformCode(0.0f, grid, 7), 1.0f);
  EXPECT_EQ(UniformCode(2.9f, grid, 7), 2.0f);
  EXPECT_EQ(UniformCode(1.0f, grid, 7), 1.0f) << "0.5 rounds to 0";
  EXPECT_EQ(UniformCode(3.0f, grid, 7), 3.0f) << "1.5 rounds to 2";
  EXPECT_EQ(UniformCode(-50.0f, grid, 7), 0.0f);
  EXPECT_EQ(UniformCode(50.0f, grid, 7), 7.0f);
}

// Against the definition: the nearest multiple of 2^-10 of the power of two below, an even one on ties.
TEST(Tf32, RoundsToElevenBitsTiesToEven) {
  EXPECT_EQ(RoundToTf32(1.0f + 0x1p-10f), 1.0f + 0x1p-10f);
  EXPECT_EQ(RoundToTf32(1.0f + 0x1p-11f), 1.0f);
  EXPECT_EQ(RoundToTf32(1.0f + 0x1p-10f + 0x1p-11f), 1.0f + 0x1p-9f);
  EXPECT_EQ(RoundToTf32(-1.0f - 0x1p-11f - 0x1p-23f), -1.0f - 0x1p-10f);
  EXPECT_EQ(RoundToTf32(2.0f - 0x1p-23f), 2.0f);
  EXPECT_EQ(RoundToTf32(0.0f), 0.0f);
  EXPECT_EQ(RoundToTf32(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(RoundToTf32(NAN)));
}

TEST(Tf32, TwoPartsMakeAProductRightToTwelveRoundingsOfF32) {
  const Philox random(1, 77);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto x = static_cast<float>(std::exp(20 * (random.Uniform(3 * i) - 0.5)) * (i % 2 == 0 ? 1 : -1));
    const auto y = static_cast<float>(random.Uniform(3 * i + 1) - 0.5);
    const Tf32Pair a = SplitTf32(x), b = SplitTf32(y);

    for (float part : {a.high, a.low, b.high, b.low}) ASSERT_EQ(RoundToTf32(part), part);
    const double product = static_cast<double>(x) * y;
    const double split = static_cast<double>(a.high) * b.high + static_cast<double>(a.high) * b.low +
                         static_cast<double>(a.low) * b.high;
    ASSERT_LE(std::fabs(split - product), 3 * 0x1p-22 * std::fabs(product)) << x << " * " << y;
  }
}

TEST(Tf32, WhatIsNotFiniteHasNoLowPart) {
  EXPECT_EQ(SplitTf32(INFINITY).high, INFINITY);
  EXPECT_EQ(SplitTf32(INFINITY).low, 0.0f);
  EXPECT_TRUE(std::isnan(SplitTf32(NAN).high));
  EXPECT_EQ(SplitTf32(NAN).low, 0.0f);
}

}  // namespace
}  // namespace gptvq
