#include <cmath>
#include <cstdint>
#include <limits>

#include "core/backend/device_matrix.h"
#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

class MemoryConformance : public BackendConformance {};

TEST_P(MemoryConformance, AllocationsAreAlignedAndMayBeEmpty) {
  for (std::size_t bytes : {0, 1, 63, 4097}) {
    const auto memory = backend().Allocate(bytes);

    ASSERT_TRUE(memory.ok());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*memory)->address()) % 64, 0u);
  }
}

TEST_P(MemoryConformance, AnImpossibleAllocationIsAnErrorThatNamesTheBytes) {
  const auto memory = backend().Allocate(std::size_t{1} << 60);

  ASSERT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(memory.status().message().find("1152921504606846976"), std::string::npos);
}

TEST_P(MemoryConformance, HostCopiesConvertToAndFromTheActivationDType) {
  const std::int64_t rows = 5, cols = 7;
  const auto values = TestRandom(95).Normals(rows * cols);

  const GuardedTensor tensor(backend(), rows, cols, values);
  std::vector<float> back(rows * cols, std::nanf(""));
  ASSERT_TRUE(backend().CopyToHost(tensor.view(), MatrixView<float>(back.data(), rows, cols)).ok());

  EXPECT_EQ(back, RoundedTo(backend().activation_dtype(), values));
  EXPECT_EQ(tensor.Read(), back);
}

// What the recipe does with diagonals and columns, whatever the activation dtype is.
TEST_P(MemoryConformance, HostCopiesLeaveF32MatricesAsTheyAre) {
  const auto values = TestRandom(98).Normals(6 * 6);
  const GuardedMatrix<float> matrix(backend(), 6, 6, values);
  const MatrixView<float> view = matrix.view();
  const TensorView block(view.data + view.stride + 2, DType::kF32, 4, 3, view.stride);
  const TensorView diagonal(view.data, DType::kF32, 6, 1, view.stride + 1);
  const std::vector<float> ones(6, 1.0f);
  std::vector<float> back(4 * 3, std::nanf(""));

  ASSERT_TRUE(backend().CopyToHost(block, MatrixView<float>(back.data(), 4, 3)).ok());
  ASSERT_TRUE(backend().CopyFromHost(MatrixView<const float>(ones.data(), 6, 1), diagonal).ok());

  const std::vector<float> after = matrix.Read();
  for (int r = 0; r < 6; ++r) {
    for (int c = 0; c < 6; ++c) EXPECT_EQ(after[r * 6 + c], r == c ? 1.0f : values[r * 6 + c]);
    for (int c = 2; c < 5 && r >= 1 && r < 5; ++c) EXPECT_EQ(back[(r - 1) * 3 + c - 2], values[r * 6 + c]);
  }
}

TEST_P(MemoryConformance, CopyInsideMovesAStridedMatrix) {
  const auto values = TestRandom(96).Normals(6 * 9);
  const GuardedMatrix<float> source(backend(), 6, 9, values), target(backend(), 6, 9);

  ASSERT_TRUE(backend().CopyInside(source.view(), target.view()).ok());

  EXPECT_EQ(target.Read(), values);
  EXPECT_EQ(backend().CopyInside(source.view().Rows(0, 5), target.view()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(MemoryConformance, DeviceMatricesStartAtZeroOrWithTheirValues) {
  auto zeros = DeviceMatrix<float>::Zeros(backend(), 3, 4);
  const std::vector<float> values = TestRandom(97).Normals(12);
  auto filled = DeviceMatrix<float>::FromHost(backend(), values.data(), 3, 4);

  ASSERT_TRUE(zeros.ok() && filled.ok());
  EXPECT_EQ(*zeros->ToHost(backend()), std::vector<float>(12));
  EXPECT_EQ(*filled->ToHost(backend()), values);
}

TEST_P(MemoryConformance, NamesItselfAndItsNumerics) {
  EXPECT_FALSE(backend().name().empty());
  EXPECT_NE(backend().numerics_class().find('/'), std::string::npos) << backend().numerics_class();
}

INSTANTIATE_TEST_SUITE_P(Backends, MemoryConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
