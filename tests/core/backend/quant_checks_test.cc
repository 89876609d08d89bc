#include "core/backend/quant_checks.h"

#include <vector>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

template <typename T = float>
MatrixView<T> Matrix(std::int64_t rows, std::int64_t cols) {
  static T element;  // checks never look at elements
  return MatrixView<T>(&element, rows, cols);
}

// 8 x 64 in stripes of 32 columns, one row block each; d = 2, K = 4.
class QuantChecks : public testing::Test {
 protected:
  QuantChecks() {
    QuantSpec spec;
    spec.columns_per_group = 32;
    layout_ = GroupLayout::Make(8, 64, spec).value();
    code_.layout = &layout_;
    code_.vector_dim = 2;
    code_.index_bits = 2;
  }

  absl::Status Check(const VectorCode& code) {
    return CheckVectorMatrix("DecodeVectors", code, codebooks_, assignments_, Matrix(8, 64));
  }

  GroupLayout layout_;
  VectorCode code_;
  ConstCodebooks codebooks_ = Matrix(2, 8);
  ConstAssignments assignments_ = Matrix<std::uint8_t>(8, 32);
};

TEST_F(QuantChecks, AcceptACodeThatFits) {
  EXPECT_TRUE(Check(code_).ok()) << Check(code_);
  code_.block_scale_columns = 48;  // the second block is 16 columns wide
  code_.block_scales = Matrix(8, 2);
  EXPECT_TRUE(Check(code_).ok()) << Check(code_);
}

TEST_F(QuantChecks, RefuseACodeThatDoesNot) {
  VectorCode none = code_, dim = code_, bits = code_, no_scales = code_, stray_scales = code_, odd = code_, few = code_;
  none.layout = nullptr;
  dim.vector_dim = 3;
  bits.index_bits = 9;
  no_scales.block_scale_columns = 32;
  stray_scales.block_scales = Matrix(8, 2);
  odd.block_scale_columns = 33;
  odd.block_scales = Matrix(8, 2);
  few.block_scale_columns = 16;
  few.block_scales = Matrix(8, 3);

  for (const VectorCode& bad : {none, dim, bits, no_scales, stray_scales, odd, few}) {
    EXPECT_EQ(Check(bad).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(QuantChecks, RefuseArraysOfAnotherShape) {
  const auto check = [&](ConstCodebooks codebooks, ConstAssignments assignments, MatrixView<const float> x) {
    return CheckVectorMatrix("DecodeVectors", code_, codebooks, assignments, x);
  };

  EXPECT_FALSE(check(Matrix(3, 8), assignments_, Matrix(8, 64)).ok());
  EXPECT_FALSE(check(Matrix(2, 9), assignments_, Matrix(8, 64)).ok());
  EXPECT_FALSE(check(codebooks_, Matrix<std::uint8_t>(8, 31), Matrix(8, 64)).ok());
  EXPECT_FALSE(check(codebooks_, assignments_, Matrix(7, 64)).ok());
}

TEST_F(QuantChecks, StripeMustLieInTheLayout) {
  const std::vector<float> weights(32, 1.0f);
  Stripe stripe = layout_.stripes()[1];
  EXPECT_TRUE(CheckClusterStripe(code_, stripe, Matrix(8, 32), weights, codebooks_).ok());

  stripe.first_group = 2;

  EXPECT_FALSE(CheckClusterStripe(code_, stripe, Matrix(8, 32), weights, codebooks_).ok());
}

TEST_F(QuantChecks, UniformBlocksNeedAScalePerGroup) {
  UniformSweepBlock block;
  block.weights = block.grid_weights = block.target = block.error_out = Matrix(4, 100);
  block.bits = 3;
  block.group_columns = 64;
  block.codes_out = Matrix<std::uint8_t>(4, 100);
  block.scales_out = Matrix<std::uint16_t>(4, 2);
  block.zero_points_out = Matrix<std::uint8_t>(4, 2);
  EXPECT_TRUE(CheckSweepUniformColumns(block).ok());
  UniformSweepBlock scales = block, bits = block, feedback = block;
  scales.scales_out = Matrix<std::uint16_t>(4, 1);
  bits.bits = 1;
  feedback.feedback = Matrix(99, 99);

  for (const UniformSweepBlock& bad : {scales, bits, feedback}) EXPECT_FALSE(CheckSweepUniformColumns(bad).ok());
}

}  // namespace
}  // namespace gptvq
