#include "core/pipeline/boundary.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(Boundary, SurvivesTheStoreBitByBit) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.thread_count = 1});
  const Activations::Shape shape{.sample_count = 3, .sequence_length = 5, .hidden_size = 7};
  std::vector<float> values(3 * 5 * 7);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i)) * 1e-3f;
  auto activations = Activations::Allocate(*backend, shape);
  ASSERT_TRUE(activations.ok());
  ASSERT_TRUE(activations->CopyRowsFromHost(0, MatrixView<const float>(values.data(), 15, 7)).ok());
  MemoryDirectory memory;
  auto file = memory.Create("boundary");
  ASSERT_TRUE(WriteBoundary(*activations, **file).ok());
  ASSERT_TRUE((*file)->Close().ok());

  const auto back = ReadBoundary(*memory.Open("boundary"), shape, *backend);

  ASSERT_TRUE(back.ok()) << back.status();
  std::vector<float> read(values.size(), std::nanf(""));
  ASSERT_TRUE(back->CopyRowsToHost(0, MatrixView<float>(read.data(), 15, 7)).ok());
  EXPECT_EQ(read, values);
}

TEST(Boundary, OfAnotherShapeIsRefused) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.thread_count = 1});
  const auto activations = Activations::Allocate(*backend, {.sample_count = 1, .sequence_length = 2, .hidden_size = 4});
  ASSERT_TRUE(activations.ok());
  MemoryDirectory memory;
  auto file = memory.Create("boundary");
  ASSERT_TRUE(WriteBoundary(*activations, **file).ok());
  ASSERT_TRUE((*file)->Close().ok());

  const auto back =
      ReadBoundary(*memory.Open("boundary"), {.sample_count = 2, .sequence_length = 2, .hidden_size = 4}, *backend);

  EXPECT_EQ(back.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq
