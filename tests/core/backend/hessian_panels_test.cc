#include "core/backend/hessian_panels.h"

#include <algorithm>
#include <numeric>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

double Operations(const IndexRange& panel) {
  return static_cast<double>(panel.count()) * static_cast<double>(panel.end);
}

TEST(HessianPanels, TileTheColumnsAndWasteLittle) {
  for (std::int64_t cols : {1, 200, 256, 257, 576, 1536, 8192, 28672}) {
    std::int64_t next = 0;
    double computed = 0;
    for (const IndexRange& panel : HessianPanels(cols)) {
      ASSERT_EQ(panel.begin, next);
      ASSERT_GT(panel.count(), 0);
      next = panel.end;
      computed += Operations(panel);
    }
    EXPECT_EQ(next, cols);
    const auto triangle = 0.5 * static_cast<double>(cols) * static_cast<double>(cols + 1);
    EXPECT_LT(computed, cols >= 4096 ? 1.07 * triangle : 2.1 * triangle);
  }
  EXPECT_TRUE(HessianPanels(0).empty());
}

TEST(HessianPanels, FallToOneRankEach) {
  for (int ranks : {1, 2, 3, 7, 8, 40}) {
    for (std::int64_t panel_count : {0, 1, 5, 16}) {
      std::vector<std::int64_t> all;
      for (int rank = 0; rank < ranks; ++rank) {
        const std::vector<std::int64_t> own = HessianPanelsOf(rank, ranks, panel_count);
        EXPECT_TRUE(std::is_sorted(own.begin(), own.end()));
        all.insert(all.end(), own.begin(), own.end());
      }
      std::sort(all.begin(), all.end());
      std::vector<std::int64_t> expected(static_cast<std::size_t>(panel_count));
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(all, expected) << ranks << " ranks, " << panel_count << " panels";
    }
  }
}

TEST(HessianPanels, GiveEveryOfEightRanksAnEvenShare) {
  const std::vector<IndexRange> panels = HessianPanels(8192);
  double whole = 0;
  for (const IndexRange& panel : panels) whole += Operations(panel);
  for (int ranks : {2, 4, 8}) {
    for (int rank = 0; rank < ranks; ++rank) {
      double own = 0;
      for (std::int64_t i : HessianPanelsOf(rank, ranks, std::ssize(panels))) own += Operations(panels[i]);
      EXPECT_DOUBLE_EQ(own, whole / ranks);
    }
  }
}

}  // namespace
}  // namespace gptvq
