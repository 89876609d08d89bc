#include "core/cuda/device_code.h"

#include "gtest/gtest.h"

namespace gptvq::cuda {
namespace {

struct Shape {
  std::int64_t rows, cols;
  int vector_dim;
  std::int64_t group_weights;
  int columns_per_group;
};

GroupLayout LayoutOf(const Shape& shape) {
  QuantSpec spec;
  spec.vector_dim = shape.vector_dim;
  spec.group_weights = shape.group_weights;
  spec.columns_per_group = shape.columns_per_group;
  return GroupLayout::Make(shape.rows, shape.cols, spec).value();
}

VectorCode CodeOf(const GroupLayout& layout, int vector_dim) {
  VectorCode code;
  code.layout = &layout;
  code.vector_dim = vector_dim;
  code.index_bits = 4;
  return code;
}

// One stripe; a ragged last one; row blocks of different heights; a codebook per row; a single row.
const Shape kShapes[] = {{96, 128, 2, 8192, 256}, {96, 576, 2, 8192, 256}, {75, 896, 2, 2048, 256},
                         {37, 256, 1, 256, 256},  {1, 16, 1, 256, 16},     {17, 72, 4, 1024, 16},
                         {192, 96, 2, 4096, 32}};

TEST(DeviceCode, GroupsAreThoseOfTheLayout) {
  for (const Shape& shape : kShapes) {
    const GroupLayout layout = LayoutOf(shape);
    const DeviceCode code = MakeDeviceCode(CodeOf(layout, shape.vector_dim));
    for (const gptvq::Stripe& stripe : layout.stripes()) {
      for (std::int64_t column = stripe.column_begin; column < stripe.column_begin + stripe.column_count; ++column) {
        const DeviceStripe found = code.Stripe(code.StripeIndexAt(column));
        ASSERT_EQ(found.column_begin, stripe.column_begin) << "column " << column;
        ASSERT_EQ(found.column_end, stripe.column_begin + stripe.column_count) << "column " << column;
      }
      for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
        const DeviceStripe found = code.Stripe(code.StripeIndexAt(stripe.column_begin));
        ASSERT_EQ(code.RowBlockBegin(found, block), layout.RowBlockBegin(stripe, block));
        for (std::int64_t row = layout.RowBlockBegin(stripe, block); row < layout.RowBlockBegin(stripe, block + 1);
             ++row) {
          ASSERT_EQ(code.GroupOf(found, row), stripe.first_group + block)
              << shape.rows << "x" << shape.cols << " row " << row;
        }
      }
    }
  }
}

TEST(DeviceCode, ScalesAreOneWithoutBlocksAndTheirBlocksOwnOtherwise) {
  const GroupLayout layout = LayoutOf({3, 40, 1, 256, 256});
  VectorCode code = CodeOf(layout, 1);

  EXPECT_EQ(MakeDeviceCode(code).ScaleAt(2, 39), 1.0f);

  const float scales[3 * 4] = {1, 2,  3, -1, 4, 5,
                               6, -1, 7, 8,  9, -1};  // the last block has 8 columns, rows are 4 apart
  code.block_scale_columns = 16;
  code.block_scales = MatrixView<const float>(scales, 3, 3, 4);
  const DeviceCode scaled = MakeDeviceCode(code);
  EXPECT_EQ(scaled.ScaleAt(0, 15), 1.0f);
  EXPECT_EQ(scaled.ScaleAt(0, 16), 2.0f);
  EXPECT_EQ(scaled.ScaleAt(2, 39), 9.0f);
}

TEST(DeviceCode, RowNumbersBeyondThirtyTwoBitsKeepTheirGroups) {
  const std::int64_t rows = (std::int64_t{1} << 33) + 5, blocks = 3;

  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * rows / blocks, end = (block + 1) * rows / blocks;
    EXPECT_EQ(RowBlockOf(begin, rows, blocks), block);
    EXPECT_EQ(RowBlockOf(end - 1, rows, blocks), block);
  }
}

}  // namespace
}  // namespace gptvq::cuda
