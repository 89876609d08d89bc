// The host's side of core/cuda/nccl_interconnect.cc, between simulated devices.
#include "core/cuda/nccl_interconnect.h"

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "core/backend/device_lost.h"
#include "core/cuda/cuda_team.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_simulator/simulated_nccl.h"

namespace gptvq::cuda {
namespace {

using ::testing::HasSubstr;

class NcclInterconnectTest : public ::testing::Test {
 protected:
  ~NcclInterconnectTest() override { simt::SetBroadcastFault(simt::BroadcastFault::kNone); }

  // Between the three devices of the simulator.
  std::unique_ptr<Interconnect> Connect(std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    std::vector<DeviceContext*> borrowed;
    for (int device = 0; device < 3; ++device) {
      contexts_.push_back(DeviceContext::Make(device).value());
      borrowed.push_back(contexts_.back().get());
    }
    return MakeNcclInterconnect(borrowed, {.timeout = timeout}).value();
  }

  static absl::Status BroadcastAByte(Interconnect& interconnect) {
    std::string memory = "abc";
    return interconnect.Broadcast(0, std::vector<void*>{&memory[0], &memory[1], &memory[2]}, 1);
  }

 private:
  std::vector<std::unique_ptr<DeviceContext>> contexts_;
};

TEST_F(NcclInterconnectTest, BringsTheBytesOfEveryRootToAllInPiecesToo) {
  const auto interconnect = Connect();
  for (std::size_t bytes : {std::size_t{0}, std::size_t{5}, (std::size_t{64} << 20) + 3}) {
    for (int root = 0; root < 3; ++root) {
      std::vector<std::vector<unsigned char>> memory(3, std::vector<unsigned char>(bytes + 1, 0xee));
      std::iota(memory[root].begin(), memory[root].end(), static_cast<unsigned char>(root));
      const std::vector<unsigned char> expected(memory[root].begin(), memory[root].end() - 1);

      const absl::Status status = interconnect->Broadcast(
          root, std::vector<void*>{memory[0].data(), memory[1].data(), memory[2].data()}, bytes);

      ASSERT_TRUE(status.ok()) << status;
      for (int rank = 0; rank < 3; ++rank) {
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory[rank].begin())) << rank;
        EXPECT_TRUE(rank == root || memory[rank].back() == 0xee) << "beyond the end";
      }
    }
  }
  EXPECT_EQ(interconnect->name(), "nccl 2.28.9");
}

TEST_F(NcclInterconnectTest, ABroadcastThatNeverEndsLosesTheDevice) {
  const auto interconnect = Connect(std::chrono::milliseconds(20));
  simt::SetBroadcastFault(simt::BroadcastFault::kHang);

  const absl::Status status = BroadcastAByte(*interconnect);

  EXPECT_TRUE(IsDeviceLost(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not end a broadcast in 20 ms"));
  EXPECT_EQ(simt::LiveCommunicators(), 0);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "that the device was not ready would be what the next launch reports";
}

TEST_F(NcclInterconnectTest, WhatNcclReportsLaterLosesTheDeviceAtOnce) {
  const auto interconnect = Connect();
  simt::SetBroadcastFault(simt::BroadcastFault::kAsyncError);

  EXPECT_TRUE(IsDeviceLost(BroadcastAByte(*interconnect)));
  EXPECT_EQ(simt::LiveCommunicators(), 0);
}

TEST_F(NcclInterconnectTest, ACallThatFailsLosesTheDevice) {
  const auto interconnect = Connect();
  simt::SetBroadcastFault(simt::BroadcastFault::kRefused);

  EXPECT_TRUE(IsDeviceLost(BroadcastAByte(*interconnect)));
}

TEST_F(NcclInterconnectTest, GivesItsCommunicatorsBack) {
  Connect().reset();

  EXPECT_EQ(simt::LiveCommunicators(), 0);
}

TEST(MakeCudaTeam, RefusesADeviceTwice) {
  const auto team = MakeCudaTeam({.devices = {1, 1}});

  EXPECT_EQ(team.status().code(), absl::StatusCode::kFailedPrecondition) << team.status();
}

TEST(MakeCudaTeam, IsANumericsClassOfItsOwnWhateverItsSize) {
  const auto one = MakeCudaTeam({.devices = {0}});
  const auto three = MakeCudaTeam({.devices = {0, 1, 2}});
  const auto alone = MakeCudaBackend({.device = 0});
  ASSERT_TRUE(one.ok() && three.ok() && alone.ok());

  for (const auto& backend : three->backends) {
    EXPECT_EQ(backend->numerics_class(), (*alone)->numerics_class() + "+rows512");
    EXPECT_EQ(backend->numerics_class(), one->backends.front()->numerics_class());
  }
  EXPECT_EQ((*alone)->row_unit(), 0);
}

}  // namespace
}  // namespace gptvq::cuda
