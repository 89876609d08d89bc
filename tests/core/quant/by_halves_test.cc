#include "core/quant/by_halves.h"

#include <bit>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using ::testing::IsEmpty;

// Which blocks every block has heard of, checked at each visit.
class Rumours {
 public:
  explicit Rumours(std::int64_t count) : heard_(count, std::vector<int>(count, 0)), pieces_(count, 0) {}

  absl::Status Visit(std::int64_t i) {
    EXPECT_EQ(i, visited_++);
    for (std::int64_t j = 0; j < std::ssize(heard_); ++j) EXPECT_EQ(heard_[i][j], j < i ? 1 : 0) << i << " of " << j;
    return absl::OkStatus();
  }
  absl::Status Propagate(IndexRange from, IndexRange to) {
    EXPECT_LE(from.end, visited_) << "what is told has happened";
    for (std::int64_t i = to.begin; i < to.end; ++i) {
      ++pieces_[i];
      for (std::int64_t j = from.begin; j < from.end; ++j) ++heard_[i][j];
    }
    return absl::OkStatus();
  }

  std::int64_t visited_ = 0;
  std::vector<std::vector<int>> heard_;
  std::vector<int> pieces_;
};

TEST(VisitByHalves, EveryBlockHearsOfAllBeforeItInTimeAndOfAllOthersOnceInFewPieces) {
  for (std::int64_t count : {1, 2, 3, 5, 8, 13, 64, 75}) {
    SCOPED_TRACE(count);
    Rumours rumours(count);

    const absl::Status status = VisitByHalves(
        {0, count}, [&](std::int64_t i) { return rumours.Visit(i); },
        [&](IndexRange from, IndexRange to) { return rumours.Propagate(from, to); });

    EXPECT_TRUE(status.ok());
    EXPECT_EQ(rumours.visited_, count);
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_LE(rumours.pieces_[i], std::bit_width(static_cast<std::uint64_t>(count - 1)));
      for (std::int64_t j = 0; j < count; ++j) EXPECT_EQ(rumours.heard_[i][j], i == j ? 0 : 1) << i << " of " << j;
    }
  }
}

TEST(VisitByHalves, NothingIsVisitedInAnEmptyRange) {
  std::vector<std::int64_t> visited;

  const auto status = VisitByHalves(
      {3, 3}, [&](std::int64_t i) { return visited.push_back(i), absl::OkStatus(); },
      [](IndexRange, IndexRange) { return absl::OkStatus(); });

  EXPECT_TRUE(status.ok());
  EXPECT_THAT(visited, IsEmpty());
}

TEST(VisitByHalves, TheFirstErrorEndsIt) {
  std::vector<std::int64_t> visited;
  const auto visit = [&](std::int64_t i) {
    visited.push_back(i);
    return i == 2 ? absl::AbortedError("two") : absl::OkStatus();
  };

  const auto status = VisitByHalves({0, 5}, visit, [](IndexRange, IndexRange) { return absl::OkStatus(); });

  EXPECT_EQ(status, absl::AbortedError("two"));
  EXPECT_EQ(visited, (std::vector<std::int64_t>{0, 1, 2}));
}

}  // namespace
}  // namespace gptvq
