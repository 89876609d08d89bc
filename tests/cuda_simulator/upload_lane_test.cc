// Copies to a simulated device beside its work: they happen as late as they may (page_locked_copies.h).
#include "core/backend/upload_lane.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "gtest/gtest.h"
#include "tests/cuda_simulator/device_memory.h"
#include "tests/cuda_simulator/page_locked_copies.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kMib = 1 << 20;

// A byte that tells where it belongs, whatever the size of pieces.
std::byte ByteAt(std::uint64_t offset) { return static_cast<std::byte>((offset * 0x9e3779b97f4a7c15u) >> 56); }

absl::Status FillAll(std::uint64_t offset, absl::Span<std::byte> piece_out) {
  for (std::size_t i = 0; i < piece_out.size(); ++i) piece_out[i] = ByteAt(offset + i);
  return absl::OkStatus();
}

class UploadLaneTest : public ::testing::Test {
 protected:
  UploadLaneTest() {
    simt::TrimDeviceMemory();
    simt::LimitDeviceMemory(simt::MemoryUse().live_bytes + 100 * kMib);
  }
  ~UploadLaneTest() override { simt::LimitDeviceMemory(std::size_t{4} << 30); }

  const std::unique_ptr<Backend> backend_ = MakeCudaBackend({.device = 0}).value();
  const std::unique_ptr<UploadLane> lane_ = backend_->MakeUploadLane().value();
};

// A piece that were filled before its copy is done would bring later bytes in the place of earlier ones.
TEST_F(UploadLaneTest, FillsNoPieceAgainBeforeItsCopyIsDone) {
  const std::uint64_t bytes = 81 * kMib + 7;  // five pieces and some

  const auto memory = lane_->Upload(bytes, FillAll);

  ASSERT_TRUE(memory.ok()) << memory.status();
  std::vector<std::byte> arrived(bytes);
  ASSERT_TRUE(backend_->CopyBytesToHost((*memory)->address(), arrived.data(), bytes).ok());
  for (std::uint64_t i = 0; i < bytes; ++i) ASSERT_EQ(arrived[i], ByteAt(i)) << i;
}

TEST_F(UploadLaneTest, GoesOnWithTheNextUpload) {
  const auto first = lane_->Upload(3, FillAll);
  const auto second = lane_->Upload(0, FillAll);
  const auto third = lane_->Upload(17 * kMib, FillAll);

  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  std::byte last;
  ASSERT_TRUE(backend_->CopyBytesToHost(static_cast<std::byte*>((*third)->address()) + 17 * kMib - 1, &last, 1).ok());
  EXPECT_EQ(last, ByteAt(17 * kMib - 1));
}

// The simulator ends the process when memory is freed that a copy is on its way to.
TEST_F(UploadLaneTest, AnErrorOfTheSourceIsReturnedOnceNothingIsOnItsWay) {
  const std::size_t live_bytes = simt::MemoryUse().live_bytes;
  int pieces = 0;

  const auto memory = lane_->Upload(80 * kMib, [&](std::uint64_t offset, absl::Span<std::byte> piece_out) {
    return ++pieces == 4 ? absl::DataLossError("the disk is broken") : FillAll(offset, piece_out);
  });

  EXPECT_EQ(memory.status(), absl::DataLossError("the disk is broken"));
  EXPECT_EQ(simt::MemoryUse().live_bytes, live_bytes);
  EXPECT_TRUE(lane_->Upload(kMib, FillAll).ok());
}

TEST_F(UploadLaneTest, WhatDoesNotFitIsAnErrorAndTheDeviceStaysUsable) {
  const auto refused = lane_->Upload(101 * kMib, FillAll);

  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("105906176 bytes"), std::string::npos) << refused.status();
  EXPECT_TRUE(backend_->Allocate(50 * kMib).ok());
}

TEST_F(UploadLaneTest, CapacityIsWhatIsFreeAndWhatTheBackendHas) {
  const std::uint64_t empty = backend_->CapacityBytes().value();
  const auto memory = backend_->Allocate(30 * kMib);
  ASSERT_TRUE(memory.ok());

  EXPECT_EQ(backend_->CapacityBytes().value(), empty);
}

}  // namespace
}  // namespace gptvq
