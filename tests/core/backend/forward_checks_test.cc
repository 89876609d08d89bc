#include "core/backend/forward_checks.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

constexpr DType kF32 = DType::kF32;

ConstTensorView Tensor(std::int64_t rows, std::int64_t cols, DType dtype = kF32) {
  return ConstTensorView(nullptr, dtype, rows, cols, cols);
}
MatrixView<float> Matrix(std::int64_t rows, std::int64_t cols) {
  static float element;  // checks never look at elements
  return MatrixView<float>(&element, rows, cols);
}

TEST(ForwardChecks, AcceptWhatFits) {
  const AttentionShape shape = {.sequence_length = 4, .head_count = 4, .kv_head_count = 2, .head_dim = 8};
  const std::vector<std::int32_t> targets(8);

  EXPECT_TRUE(CheckLinear(kF32, Tensor(8, 6), Tensor(5, 6), Matrix(1, 5), Tensor(8, 5)).ok());
  EXPECT_TRUE(CheckLinear(kF32, Tensor(8, 6), Tensor(5, 6), {}, Tensor(8, 5)).ok());
  EXPECT_TRUE(CheckRmsNorm(kF32, Tensor(8, 6), Matrix(1, 6), Tensor(8, 6)).ok());
  EXPECT_TRUE(CheckRmsNormHeads(kF32, Tensor(8, 6), 3, Matrix(1, 2)).ok());
  EXPECT_TRUE(CheckApplyRotary(kF32, Tensor(8, 12), 3, Matrix(4, 2), Matrix(4, 2)).ok());
  EXPECT_TRUE(CheckCausalAttention(kF32, Tensor(8, 32), Tensor(8, 16), Tensor(8, 16), shape, Tensor(8, 32)).ok());
  EXPECT_TRUE(CheckSwiGlu(kF32, Tensor(8, 6), Tensor(8, 6), Tensor(8, 6)).ok());
  EXPECT_TRUE(CheckAddInPlace(kF32, Tensor(8, 6), Tensor(8, 6)).ok());
  EXPECT_TRUE(
      CheckAccumulateLogSumExp(kF32, Tensor(8, 6), Tensor(100, 6), targets, {Matrix(8, 1), Matrix(8, 1), Matrix(8, 1)})
          .ok());
}

TEST(ForwardChecks, AnotherDTypeIsRefusedByName) {
  const absl::Status status = CheckAddInPlace(kF32, Tensor(8, 6), Tensor(8, 6, DType::kBf16));

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("AddInPlace"), std::string::npos) << status;
  EXPECT_NE(status.message().find("dtype"), std::string::npos) << status;
}

TEST(ForwardChecks, ConvertTakesWhatCheckpointsStoreAndGivesWhatIsComputedWith) {
  const DType kBf16 = DType::kBf16;
  for (DType stored : {DType::kF32, DType::kF16, DType::kBf16}) {
    EXPECT_TRUE(CheckConvert(kBf16, Tensor(8, 6, stored), Tensor(8, 6)).ok());
    EXPECT_TRUE(CheckConvert(kBf16, Tensor(8, 6, stored), Tensor(8, 6, kBf16)).ok());
    EXPECT_FALSE(CheckConvert(kF32, Tensor(8, 6, stored), Tensor(8, 6, kBf16)).ok());
    EXPECT_FALSE(CheckConvert(kBf16, Tensor(8, 6, stored), Tensor(6, 8)).ok());
  }
  EXPECT_FALSE(CheckConvert(kBf16, Tensor(8, 6, DType::kF64), Tensor(8, 6)).ok());
}

TEST(ForwardChecks, EveryShapeThatDoesNotFitIsRefused) {
  AttentionShape shape = {.sequence_length = 4, .head_count = 4, .kv_head_count = 3, .head_dim = 8};
  const auto attention = [&](std::int64_t q_cols, std::int64_t kv_cols) {
    return CheckCausalAttention(kF32, Tensor(8, q_cols), Tensor(8, kv_cols), Tensor(8, kv_cols), shape,
                                Tensor(8, q_cols));
  };

  EXPECT_FALSE(CheckLinear(kF32, Tensor(8, 6), Tensor(5, 7), {}, Tensor(8, 5)).ok());
  EXPECT_FALSE(CheckLinear(kF32, Tensor(8, 6), Tensor(5, 6), {}, Tensor(5, 8)).ok());
  EXPECT_FALSE(CheckLinear(kF32, Tensor(8, 6), Tensor(5, 6), Matrix(1, 6), Tensor(8, 5)).ok());
  EXPECT_FALSE(CheckRmsNorm(kF32, Tensor(8, 6), Matrix(1, 5), Tensor(8, 6)).ok());
  EXPECT_FALSE(CheckRmsNormHeads(kF32, Tensor(8, 6), 4, Matrix(1, 2)).ok());
  EXPECT_FALSE(CheckRmsNormHeads(kF32, Tensor(8, 6), 0, Matrix(1, 2)).ok());
  EXPECT_FALSE(CheckApplyRotary(kF32, Tensor(8, 9), 3, Matrix(4, 2), Matrix(4, 2)).ok());
  EXPECT_FALSE(CheckApplyRotary(kF32, Tensor(8, 12), 3, Matrix(4, 2), Matrix(3, 2)).ok());
  EXPECT_FALSE(CheckApplyRotary(kF32, Tensor(8, 12), 3, Matrix(0, 2), Matrix(0, 2)).ok());
  EXPECT_FALSE(attention(32, 24).ok()) << "3 does not divide 4";
  shape.kv_head_count = 2;
  EXPECT_FALSE(attention(32, 24).ok());
  shape.sequence_length = 3;
  EXPECT_FALSE(attention(32, 16).ok()) << "8 rows are no whole sequences of 3";
  EXPECT_FALSE(CheckSwiGlu(kF32, Tensor(8, 6), Tensor(8, 5), Tensor(8, 6)).ok());
  EXPECT_FALSE(CheckAccumulateLogSumExp(kF32, Tensor(8, 6), Tensor(100, 6), {}, {}).ok());
}

}  // namespace
}  // namespace gptvq
