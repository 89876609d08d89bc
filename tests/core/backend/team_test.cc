#include "core/backend/team.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/device_lost.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TeamTest : public ::testing::Test {
 protected:
  Team Of(int size) {
    backends_.clear();
    std::vector<Backend*> borrowed;
    for (int i = 0; i < size; ++i) {
      backends_.push_back(MakeCpuBackend({.thread_count = 1}));
      borrowed.push_back(backends_.back().get());
    }
    return Team(borrowed, interconnect_);
  }

 private:
  HostInterconnect interconnect_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

TEST_F(TeamTest, GathersWhatEveryRankBringsInOrderOfRanks) {
  for (int size : {1, 2, 3, 5}) {
    std::vector<std::vector<std::vector<double>>> gathered(static_cast<std::size_t>(size));

    const absl::Status status = Of(size).Run([&](const Communicator& ranks) -> absl::Status {
      // As many numbers as the rank says, none for the first.
      const std::vector<double> own(static_cast<std::size_t>(ranks.rank()), 10.0 + ranks.rank());
      for (int repeat = 0; repeat < 100; ++repeat) {
        GPTVQ_ASSIGN_OR_RETURN(gathered[ranks.rank()], ranks.AllGather(own));
      }
      return absl::OkStatus();
    });

    ASSERT_TRUE(status.ok()) << status;
    for (const auto& of_rank : gathered) {
      ASSERT_EQ(of_rank.size(), static_cast<std::size_t>(size));
      for (int rank = 0; rank < size; ++rank) {
        EXPECT_EQ(of_rank[rank], std::vector<double>(static_cast<std::size_t>(rank), 10.0 + rank));
      }
    }
  }
}

TEST_F(TeamTest, BroadcastsFromEveryRank) {
  constexpr int kSize = 4;
  std::vector<std::string> memory(kSize);

  const absl::Status status = Of(kSize).Run([&](const Communicator& ranks) -> absl::Status {
    std::string& own = memory[ranks.rank()];
    own.assign(kSize, '?');
    own[ranks.rank()] = static_cast<char>('a' + ranks.rank());
    for (int root = 0; root < kSize; ++root) GPTVQ_RETURN_IF_ERROR(ranks.Broadcast(root, &own[root], 1));
    return absl::OkStatus();
  });

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(memory, ElementsAre("abcd", "abcd", "abcd", "abcd"));
}

TEST_F(TeamTest, RunsFewerRanksThanItHas) {
  std::vector<int> sizes(4, 0);

  const absl::Status status = Of(4).Run(3, [&](const Communicator& ranks) {
    sizes[ranks.rank()] = ranks.size();
    return ranks.AllGather({}).status();
  });

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(sizes, ElementsAre(3, 3, 3, 0));
}

TEST_F(TeamTest, ARankThatFailsReleasesTheOthersAndNamesTheCause) {
  const absl::Status status = Of(3).Run([](const Communicator& ranks) -> absl::Status {
    if (ranks.rank() == 2) return absl::ResourceExhaustedError("no memory here");
    return ranks.AllGather({}).status();
  });

  EXPECT_EQ(status, absl::ResourceExhaustedError("no memory here"));
}

TEST_F(TeamTest, ARankThatEndsWithoutTheOthersDoesNotHangThem) {
  const absl::Status status = Of(2).Run([](const Communicator& ranks) -> absl::Status {
    return ranks.rank() == 0 ? absl::OkStatus() : ranks.AllGather({}).status();
  });

  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

TEST_F(TeamTest, ALostDeviceIsToldBeforeAnythingElse) {
  const absl::Status status = Of(3).Run([](const Communicator& ranks) -> absl::Status {
    if (ranks.rank() == 0) return absl::ResourceExhaustedError("no memory");
    return ranks.rank() == 1 ? DeviceLostError("gone") : ranks.AllGather({}).status();
  });

  EXPECT_TRUE(IsDeviceLost(status)) << status;
}

TEST_F(TeamTest, RanksThatMeetForDifferentThingsAreRefused) {
  char byte = 0;
  const absl::Status status = Of(2).Run([&](const Communicator& ranks) -> absl::Status {
    return ranks.rank() == 0 ? ranks.AllGather({}).status() : ranks.Broadcast(0, &byte, 1);
  });

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("different things"));
}

TEST_F(TeamTest, WorksAgainAfterAFailure) {
  Team team = Of(2);
  EXPECT_FALSE(team.Run([](const Communicator&) { return absl::CancelledError("stop"); }).ok());

  EXPECT_TRUE(team.Run([](const Communicator& ranks) { return ranks.AllGather({}).status(); }).ok());
}

}  // namespace
}  // namespace gptvq
