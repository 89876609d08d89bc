#include "core/backend/formulas.h"

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

}  // namespace
}  // namespace gptvq
