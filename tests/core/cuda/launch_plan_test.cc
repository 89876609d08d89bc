#include "core/cuda/launch_plan.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace gptvq::cuda {
namespace {

constexpr DeviceLimits kA100 = {.multiprocessors = 108, .shared_bytes = 163 * 1024};
constexpr DeviceLimits kH200 = {.multiprocessors = 132, .shared_bytes = 227 * 1024};
constexpr std::int64_t kHuge = (std::int64_t{1} << 31) + 1;

TEST(LaunchPlan, RowsAreAlwaysWholeThreadBlocksInsideTheGrid) {
  for (std::int64_t rows : {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, std::int64_t{28672}, kHuge}) {
    for (std::int64_t cols : {std::int64_t{0}, std::int64_t{1}, std::int64_t{33}, std::int64_t{8192}, kHuge}) {
      const RowsPlan plan = PlanRows(rows, cols, kH200);

      EXPECT_EQ(plan.threads_x * plan.threads_y, 256u);
      EXPECT_GE(plan.grid, 1u);
      EXPECT_LE(plan.grid, 132u * 16);
      EXPECT_LT(plan.threads_x / 2, std::max<std::int64_t>(cols, 1)) << "half of the threads of a row would idle";
    }
  }
  EXPECT_EQ(PlanWarpRows(100, kH200).threads_x, 32u);
  EXPECT_EQ(PlanWarpRows(100, kH200).grid, 13u);
}

TEST(LaunchPlan, PiecesHaveWholeWarpsAndAPowerOfTwoOfThreads) {
  for (std::int64_t width : {0, 1, 20, 255, 576, 8192, 128256}) {
    const PiecesPlan plan = PlanPieces(kHuge, width);

    EXPECT_GE(plan.threads, 32u);
    EXPECT_LE(plan.threads, 512u);
    EXPECT_EQ(plan.threads & (plan.threads - 1), 0u);
    EXPECT_EQ(plan.grid, 2147483647u);
  }
  EXPECT_EQ(PlanPieces(0, 64).grid, 1u);
}

TEST(LaunchPlan, TheTriangleIsEnumeratedOnceAndWhole) {
  const TrianglePlan plan = PlanTriangle(200);
  std::set<std::pair<std::int64_t, std::int64_t>> seen;

  for (std::int64_t k = 0; k < plan.grid; ++k) {
    const TileIndex tile = TriangleTile(k);
    ASSERT_LE(tile.row, tile.col);
    ASSERT_LT(tile.col, plan.tiles_per_side);
    seen.insert({tile.row, tile.col});
  }

  EXPECT_EQ(plan.tiles_per_side, 7);
  EXPECT_EQ(seen.size(), 28u);
  const std::int64_t side = 65000;  // the square root's last digits matter here
  for (std::int64_t col : {side - 1, side}) {
    EXPECT_EQ(TriangleTile(col * (col + 1) / 2).row, 0);
    EXPECT_EQ(TriangleTile(col * (col + 1) / 2).col, col);
    EXPECT_EQ(TriangleTile(col * (col + 1) / 2 + col).row, col);
  }
}

// Counts groups by walking all windows of rows.
TEST(LaunchPlan, MaxGroupsOfRowsBoundsEveryWindow) {
  for (std::int64_t rows : {1, 7, 75, 192}) {
    for (std::int64_t blocks : {std::int64_t{1}, std::int64_t{3}, rows / 2, rows}) {
      if (blocks < 1 || blocks > rows) continue;
      for (std::int64_t count : {1, 2, 8, 32}) {
        std::int64_t most = 0;
        for (std::int64_t first = 0; first + count <= rows; ++first) {
          std::set<std::int64_t> touched;
          for (std::int64_t row = first; row < first + count; ++row) touched.insert(((row + 1) * blocks - 1) / rows);
          most = std::max<std::int64_t>(most, static_cast<std::int64_t>(touched.size()));
        }
        EXPECT_GE(MaxGroupsOfRows(count, rows, blocks), most)
            << count << " of " << rows << " rows, " << blocks << " blocks";
        EXPECT_LE(MaxGroupsOfRows(count, rows, blocks), std::min(count, blocks));
      }
    }
  }
}

TEST(LaunchPlan, TilesFitTheDeviceForEveryShapeOfACode) {
  for (const DeviceLimits& limits : {kA100, kH200}) {
    for (std::int64_t rows : {std::int64_t{1}, std::int64_t{1024}, std::int64_t{8192}, std::int64_t{28672}, kHuge}) {
      for (int d : {1, 2, 4}) {
        for (int k : {2, 16, 256}) {
          for (std::int64_t blocks : {std::int64_t{1}, rows}) {  // one codebook, and one per row
            const auto plan = PlanTile({.rows = rows,
                                        .width = 128,
                                        .vector_dim = d,
                                        .centroid_count = k,
                                        .max_row_blocks = blocks,
                                        .matrices = 2},
                                       limits);

            ASSERT_TRUE(plan.ok()) << plan.status();
            EXPECT_LE(static_cast<std::int64_t>(plan->shared_bytes), limits.shared_bytes);
            EXPECT_EQ(plan->threads, static_cast<std::uint32_t>(plan->lanes_per_row * plan->rows_per_tile));
            EXPECT_EQ(plan->threads % 32, 0u);
            EXPECT_EQ(32 % plan->lanes_per_row, 0) << "the lanes of a row must lie in one warp";
            EXPECT_GE(std::int64_t{plan->grid} * plan->rows_per_tile, rows);
            EXPECT_EQ(plan->tile_stride % 2, 1);
          }
        }
      }
    }
  }
}

TEST(LaunchPlan, FewRowsAreSharedOutOverMoreLanes) {
  const TileShape shape = {.rows = 1024, .width = 128, .vector_dim = 2, .centroid_count = 16, .max_row_blocks = 32};
  TileShape tall = shape;
  tall.rows = 28672;

  EXPECT_EQ(PlanTile(shape, kH200)->lanes_per_row, 32);
  EXPECT_EQ(PlanTile(tall, kH200)->lanes_per_row, 4);
}

TEST(LaunchPlan, ATileThatCannotFitIsRefused) {
  const auto plan = PlanTile({.rows = 8, .width = 65536, .vector_dim = 1, .centroid_count = 2}, kA100);

  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(PlanUniformTile(8, 128, kA100).ok());
}

TEST(LaunchPlan, GroupsKeepTheirSumsInSharedMemory) {
  for (const DeviceLimits& limits : {kA100, kH200}) {
    for (int d : {1, 2, 4}) {
      for (int k : {2, 64, 256}) {
        for (std::int64_t vectors : {std::int64_t{1}, std::int64_t{256}, std::int64_t{65536}}) {
          const GroupShape shape = {
              .group_count = 7, .max_group_vectors = vectors, .vector_dim = d, .centroid_count = k};
          for (const GroupPlan& plan : {PlanCluster(shape, limits), PlanCentroidSums(shape, limits)}) {
            EXPECT_EQ(plan.grid, 7u);
            EXPECT_LE(static_cast<std::int64_t>(plan.shared_bytes), limits.shared_bytes);
            EXPECT_GE(plan.sum_copies, 1);
            EXPECT_LE(plan.sum_copies * 32, static_cast<int>(plan.threads)) << "a copy belongs to one warp";
            EXPECT_LE(plan.threads, 512u);
            EXPECT_EQ(plan.threads & (plan.threads - 1), 0u);
          }
        }
      }
    }
  }
}

TEST(LaunchPlan, AttentionPadsHeadsAndCutsSequencesIntoLaunches) {
  const AttentionShape llama = {.sequence_length = 2048, .head_count = 64, .kv_head_count = 8, .head_dim = 128};

  const auto plan = PlanAttention(llama, 128);

  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->padded_dim, 128);
  EXPECT_EQ(plan->grid_x, 16u);
  EXPECT_EQ(plan->grid_y, 64u);
  EXPECT_EQ(plan->grid_z, 128u);
  EXPECT_EQ(plan->launches, 1);
  EXPECT_EQ(PlanAttention({.sequence_length = 1, .head_count = 1, .kv_head_count = 1, .head_dim = 2}, 65536)->launches,
            2);
  for (int dim : {1, 16, 17, 80, 96, 256}) {
    const auto other = PlanAttention({.sequence_length = 33, .head_count = 2, .kv_head_count = 1, .head_dim = dim}, 1);
    ASSERT_TRUE(other.ok());
    EXPECT_GE(other->padded_dim, dim);
    EXPECT_LE(static_cast<std::int64_t>(other->shared_bytes), kA100.shared_bytes);
  }
  EXPECT_EQ(
      PlanAttention({.sequence_length = 8, .head_count = 1, .kv_head_count = 1, .head_dim = 257}, 1).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(LaunchPlan, TokenChunksFitTheScratchMemoryButAreNeverEmpty) {
  EXPECT_EQ(PlanTokenChunk(1024, 1 << 20), 256);
  EXPECT_EQ(PlanTokenChunk(1 << 20, 1 << 20), 1);
  EXPECT_EQ(PlanTokenChunk(0, 4096), 1024);
}

}  // namespace
}  // namespace gptvq::cuda
