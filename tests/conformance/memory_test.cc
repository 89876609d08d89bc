#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stop_token>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/base/background_call.h"
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

// While the backend computes: neither may disturb the other.
TEST_P(MemoryConformance, UploadsBesideWorkBringEveryByteAndChangeNoResult) {
  const std::unique_ptr<UploadLane> lane = backend().MakeUploadLane().value();
  if (backend().name() == "cpu") {
    EXPECT_EQ(lane, nullptr) << "its memory is the host's";
    return;
  }
  ASSERT_NE(lane, nullptr);
  const std::int64_t order = 96;
  const GuardedMatrix<float> a(backend(), order, order, TestRandom(99).Normals(order * order));
  const auto product = [&] {
    const GuardedMatrix<float> c(backend(), order, order);
    EXPECT_TRUE(backend().quant().MatMul(1, a.view(), Transpose::kNo, a.view(), Transpose::kYes, 0, c.view()).ok());
    return c.Read();
  };
  const std::vector<float> expected = product();
  const auto byte_at = [](std::uint64_t offset) { return static_cast<std::byte>(offset * 0x9e3779b97f4a7c15u >> 56); };
  constexpr std::uint64_t kBytes = (std::uint64_t{40} << 20) + 3;

  BackgroundCall<absl::StatusOr<std::unique_ptr<DeviceMemory>>> upload([&](const std::stop_token&) {
    return lane->Upload(kBytes, [&](std::uint64_t offset, absl::Span<std::byte> piece_out) {
      for (std::size_t i = 0; i < piece_out.size(); ++i) piece_out[i] = byte_at(offset + i);
      return absl::OkStatus();
    });
  });
  do {
    ASSERT_EQ(product(), expected);
  } while (!upload.is_done());

  const auto memory = upload.Take();
  ASSERT_TRUE(memory.ok()) << memory.status();
  std::vector<std::byte> arrived(kBytes);
  ASSERT_TRUE(backend().CopyBytesToHost((*memory)->address(), arrived.data(), kBytes).ok());
  for (std::uint64_t i = 0; i < kBytes; ++i) ASSERT_EQ(arrived[i], byte_at(i)) << i;
}

TEST_P(MemoryConformance, NamesItselfAndItsNumerics) {
  EXPECT_FALSE(backend().name().empty());
  EXPECT_NE(backend().numerics_class().find('/'), std::string::npos) << backend().numerics_class();
}

INSTANTIATE_TEST_SUITE_P(Backends, MemoryConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
