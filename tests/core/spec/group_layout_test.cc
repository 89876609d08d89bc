#include "core/spec/group_layout.h"

#include <algorithm>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

QuantSpec Spec(int vector_dim, std::int64_t group_weights, int columns_per_group = 256) {
  QuantSpec spec;
  spec.vector_dim = vector_dim;
  spec.group_weights = group_weights;
  spec.columns_per_group = columns_per_group;
  return spec;
}

TEST(GroupLayout, MatchesThePublishedTableWhereSizesDivide) {
  const auto layout = GroupLayout::Make(128, 1024, Spec(2, 8192));

  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(layout->stripes().size(), 4u);
  for (const Stripe& stripe : layout->stripes()) {
    EXPECT_EQ(stripe.column_count, 256);
    EXPECT_EQ(stripe.row_block_count, 4);  // 32 rows x 256 columns a group
    EXPECT_EQ(layout->RowBlockBegin(stripe, 1), 32);
  }
  EXPECT_EQ(layout->group_count(), 16);
}

TEST(GroupLayout, MakesStripesAsNarrowAsASmallGroup) {
  const auto layout = GroupLayout::Make(3, 512, Spec(1, 128));

  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->stripes().size(), 4u);
  EXPECT_EQ(layout->stripes().front().row_block_count, 3);  // one row x 128 columns a group
}

TEST(GroupLayout, GivesANarrowLastStripeTallerGroups) {
  const auto layout = GroupLayout::Make(64, 576, Spec(2, 2048));

  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(layout->stripes().size(), 3u);
  EXPECT_EQ(layout->stripes()[0].row_block_count, 8);
  EXPECT_EQ(layout->stripes()[2].column_count, 64);
  EXPECT_EQ(layout->stripes()[2].row_block_count, 2);  // 32 rows x 64 columns = 2048
}

// The shapes that broke the published code, and some that break everything else.
TEST(GroupLayout, CoversEveryWeightOnceAndNeverMakesAGroupSmallerThanNominal) {
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{576, 576}, {192, 576},   {576, 1536},  {896, 4864},
                                                          {128, 896}, {1376, 4096}, {4096, 1376}, {1024, 29568},
                                                          {1, 4},     {7, 260},     {3, 252},     {1000, 12}};
  for (const auto& [rows, cols] : shapes) {
    for (const QuantSpec& spec : {Spec(1, 256), Spec(2, 2048), Spec(4, 65536), Spec(2, 96, 32)}) {
      const auto layout = GroupLayout::Make(rows, cols, spec);
      ASSERT_TRUE(layout.ok()) << layout.status();
      std::int64_t next_column = 0;
      std::int64_t next_group = 0;
      for (const Stripe& stripe : layout->stripes()) {
        EXPECT_EQ(stripe.column_begin, next_column);
        EXPECT_EQ(stripe.first_group, next_group);
        EXPECT_EQ(layout->RowBlockBegin(stripe, 0), 0);
        EXPECT_EQ(layout->RowBlockBegin(stripe, stripe.row_block_count), rows);
        const std::int64_t smallest = std::min(spec.group_weights, rows * stripe.column_count);
        for (std::int64_t b = 0; b < stripe.row_block_count; ++b) {
          const std::int64_t height = layout->RowBlockBegin(stripe, b + 1) - layout->RowBlockBegin(stripe, b);
          EXPECT_GE((height + 1) * stripe.column_count, smallest) << rows << " x " << cols;
          EXPECT_GE(height, 1);
        }
        EXPECT_LE(stripe.row_block_count, std::max<std::int64_t>(1, rows * stripe.column_count / spec.group_weights));
        next_column += stripe.column_count;
        next_group += stripe.row_block_count;
      }
      EXPECT_EQ(next_column, cols);
      EXPECT_EQ(next_group, layout->group_count());
    }
  }
}

TEST(GroupLayout, RefusesColumnsThatAreNoMultipleOfTheDimension) {
  const auto layout = GroupLayout::Make(8, 258, Spec(4, 1024));

  EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(layout.status().message().find("258 columns"), std::string::npos);
}

TEST(GroupLayout, RefusesSizesThatAreNotPositive) {
  EXPECT_FALSE(GroupLayout::Make(0, 256, Spec(2, 2048)).ok());
  EXPECT_FALSE(GroupLayout::Make(16, -2, Spec(2, 2048)).ok());
}

}  // namespace
}  // namespace gptvq
