#include "core/spec/bits_per_value.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(CountBits, CountsTheRaggedShapesOfSmallModelsByPart) {
  QuantSpec spec;  // d = 2, 6 index bits, l = 8192
  VectorQuantizedLinear linear;
  linear.layout = GroupLayout::Make(576, 576, spec).value();  // stripes of 256, 256 and 64 columns
  linear.vector_dim = 2;
  linear.index_bits = 6;
  ASSERT_EQ(linear.layout.group_count(), 18 + 18 + 4);
  linear.codebooks = Int8Codebooks{std::vector<std::int8_t>(40 * 64 * 2), std::vector<float>(40)};

  const BitCount count = CountBits(linear);

  EXPECT_EQ(count.index_bits, 576 * (96 + 96 + 24) * 8);  // bytes a row and stripe: 128, 128 and 32 vectors of 6 bits
  EXPECT_EQ(count.codebook_bits, 40 * 128 * 8);
  EXPECT_EQ(count.codebook_scale_bits, 40 * 16);
  EXPECT_EQ(count.block_scale_bits, 0);
  EXPECT_EQ(count.total_bits(), 576 * 216 * 8 + 40 * 128 * 8 + 40 * 16);
}

TEST(CountBits, RoundsIndexRowsUpToBytes) {
  QuantSpec spec;
  spec.index_bits = 5;
  spec.group_weights = 64;
  spec.columns_per_group = 16;
  VectorQuantizedLinear linear;
  linear.layout = GroupLayout::Make(4, 20, spec).value();  // 8 and 2 vectors a row: 40 and 10 bits
  linear.vector_dim = 2;
  linear.index_bits = 5;
  linear.codebooks = Fp16Codebooks{std::vector<std::uint16_t>(2 * 64)};

  const BitCount count = CountBits(linear);

  EXPECT_EQ(count.index_bits, 4 * (40 + 16));
  EXPECT_EQ(count.codebook_bits, 2 * 64 * 16);
  EXPECT_EQ(count.codebook_scale_bits, 0);
}

TEST(CountBits, CountsScalesZeroPointsAndPermutationOfUniformGrids) {
  UniformQuantizedLinear linear;
  linear.rows = 8;
  linear.cols = 300;
  linear.bits = 3;
  linear.group_columns = 128;
  linear.permutation.resize(300);

  const BitCount count = CountBits(linear);

  EXPECT_EQ(count.index_bits, 8 * 904);              // 900 bits a row, in bytes
  EXPECT_EQ(count.block_scale_bits, 8 * (48 + 16));  // three scales of 16 bits, three zero points of 3 bits in bytes
  EXPECT_EQ(count.permutation_bits, 300 * 32);
}

TEST(BitCount, SumsByPartAndHasNoValueWithoutWeights) {
  BitCount sum;
  EXPECT_EQ(sum.bits_per_value(), 0.0);
  const BitCount part = {.weights = 100,
                         .index_bits = 200,
                         .codebook_bits = 20,
                         .codebook_scale_bits = 16,
                         .block_scale_bits = 8,
                         .permutation_bits = 6};

  sum += part;
  sum += part;

  EXPECT_EQ(sum.weights, 200);
  EXPECT_EQ(sum.total_bits(), 500);
  EXPECT_DOUBLE_EQ(sum.bits_per_value(), 2.5);
}

}  // namespace
}  // namespace gptvq
