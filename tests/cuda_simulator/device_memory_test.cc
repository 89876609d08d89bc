// Memory of the CUDA backend on a simulated device that runs out of it.
#include "tests/cuda_simulator/device_memory.h"

#include <memory>

#include "core/cuda/cuda_backend.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

constexpr std::size_t kMib = 1 << 20;

class DeviceMemoryTest : public ::testing::Test {
 protected:
  DeviceMemoryTest() {
    simt::TrimDeviceMemory();
    simt::LimitDeviceMemory(simt::MemoryUse().live_bytes + 8 * kMib);
  }
  ~DeviceMemoryTest() override { simt::LimitDeviceMemory(std::size_t{4} << 30); }

  const std::unique_ptr<Backend> backend_ = MakeCudaBackend({.device = 0}).value();
};

// What is free lies there in pieces of other sizes.
TEST_F(DeviceMemoryTest, GivesKeptMemoryBackAndTriesOnceMore) {
  for (int piece = 0; piece < 2; ++piece) {
    const auto first = backend_->Allocate((3 + piece) * kMib);
    ASSERT_TRUE(first.ok()) << first.status();
  }
  ASSERT_EQ(simt::MemoryUse().kept_bytes, 7 * kMib);

  const auto memory = backend_->Allocate(6 * kMib);

  EXPECT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ(simt::MemoryUse().kept_bytes, 0u);
}

TEST_F(DeviceMemoryTest, WhatDoesNotFitIsAnErrorAndTheDeviceStaysUsable) {
  const auto large = backend_->Allocate(5 * kMib);
  ASSERT_TRUE(large.ok());

  const auto refused = backend_->Allocate(4 * kMib);
  const auto small = backend_->Allocate(2 * kMib);

  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("4194304 bytes"), std::string::npos) << refused.status();
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_TRUE(backend_->FillZero((*small)->address(), 2 * kMib).ok());
}

// CUDA keeps every error of a thread until it is asked for, as it is after a launch.
TEST_F(DeviceMemoryTest, AnErrorThatWasReportedIsNotThatOfTheNextLaunch) {
  const auto memory = backend_->Allocate(8 * sizeof(float));
  ASSERT_TRUE(memory.ok());
  const MatrixView<float> matrix(static_cast<float*>((*memory)->address()), 2, 4);
  MatrixView<float> overlapping = matrix;
  overlapping.stride = 2;
  ASSERT_FALSE(backend_->CopyInside(matrix, overlapping).ok());

  EXPECT_TRUE(backend_->quant().Axpby(1, matrix, 0, matrix).ok());
}

}  // namespace
}  // namespace gptvq
