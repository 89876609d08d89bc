#include "core/cpu/code_geometry.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

GroupLayout Layout(std::int64_t rows, std::int64_t cols, std::int64_t group_weights) {
  QuantSpec spec;
  spec.group_weights = group_weights;
  return GroupLayout::Make(rows, cols, spec).value();
}

TEST(CodeGeometry, RowBlockIsTheOneThatHoldsTheRow) {
  for (std::int64_t rows : {1, 7, 32, 75, 576, 896, 11008}) {
    for (std::int64_t group_weights : {256, 2048, 8192}) {
      const GroupLayout layout = Layout(rows, 576, group_weights);
      for (const Stripe& stripe : layout.stripes()) {
        for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
          const std::int64_t begin = layout.RowBlockBegin(stripe, block), end = layout.RowBlockBegin(stripe, block + 1);
          ASSERT_LT(begin, end);
          ASSERT_EQ(RowBlockOf(layout, stripe, begin), block);
          ASSERT_EQ(RowBlockOf(layout, stripe, end - 1), block);
          ASSERT_EQ(GroupOf(layout, stripe, begin), stripe.first_group + block);
        }
      }
    }
  }
}

TEST(CodeGeometry, SegmentsCoverABlockFromLeftToRight) {
  const GroupLayout layout = Layout(64, 576, 8192);  // stripes of 256, 256 and 64 columns

  const auto segments = SegmentsOf(layout, 200, 560);

  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments[0].column_begin, 200);
  EXPECT_EQ(segments[0].column_end, 256);
  EXPECT_EQ(segments[1].stripe, &layout.stripes()[1]);
  EXPECT_EQ(segments[2].column_begin, 512);
  EXPECT_EQ(segments[2].column_end, 560);
  EXPECT_TRUE(SegmentsOf(layout, 100, 100).empty());
}

TEST(CodeGeometry, ScaleIsOneWithoutBlockScales) {
  const std::vector<float> scales = {2, 3, 4, 5};
  VectorCode code;
  EXPECT_EQ(ScaleAt(code, 7, 100), 1.0f);

  code.block_scale_columns = 32;
  code.block_scales = MatrixView<const float>(scales.data(), 2, 2);

  EXPECT_EQ(ScaleAt(code, 1, 31), 4.0f);
  EXPECT_EQ(ScaleAt(code, 1, 32), 5.0f);
}

}  // namespace
}  // namespace gptvq
