#include "core/cuda/launch_plan.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace gptvq::cuda {
namespace {

constexpr std::int64_t kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 16;  // enough to fill any device several times over

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t CeilPowerOfTwo(std::int64_t x) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(x, 1))));
}

std::uint32_t Grid(std::int64_t blocks, std::int64_t limit) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(blocks, 1, limit));
}

RowsPlan PlanRowsOf(std::int64_t rows, std::int64_t threads_x, const DeviceLimits& limits) {
  RowsPlan plan;
  plan.threads_x = static_cast<std::uint32_t>(threads_x);
  plan.threads_y = static_cast<std::uint32_t>(kThreads / threads_x);
  plan.grid = Grid(CeilDiv(rows, plan.threads_y), std::int64_t{limits.multiprocessors} * kBlocksPerMultiprocessor);
  return plan;
}

// Bytes of the parts of a tile; mirrored by the layout in tile_memory.cuh.
std::size_t TileBytes(const TileShape& shape, const TilePlan& plan) {
  const std::int64_t d = shape.vector_dim;
  const std::int64_t rows = plan.rows_per_tile;
  const std::int64_t metric = CeilDiv(shape.width, d) * (d * (d + 1) / 2);
  const std::int64_t codebooks = std::int64_t{plan.groups_per_tile} * shape.centroid_count * (d + 1);
  const std::int64_t floats = codebooks + metric + shape.matrices * rows * plan.tile_stride;
  return static_cast<std::size_t>(floats) * sizeof(float);
}

// Lanes that give every multiprocessor two tiles, if there are rows enough.
int LanesFor(std::int64_t rows, const DeviceLimits& limits) {
  int lanes = 4;
  while (lanes < kWarp && CeilDiv(rows, kThreads / lanes) < 2 * std::int64_t{limits.multiprocessors}) lanes *= 2;
  return lanes;
}

TilePlan TileOf(const TileShape& shape, std::int64_t threads, int lanes) {
  TilePlan plan;
  plan.threads = static_cast<std::uint32_t>(threads);
  plan.lanes_per_row = lanes;
  plan.rows_per_tile = static_cast<int>(threads / lanes);
  plan.groups_per_tile = static_cast<int>(
      MaxGroupsOfRows(plan.rows_per_tile, std::max<std::int64_t>(shape.rows, 1), shape.max_row_blocks));
  plan.tile_stride = shape.width | 1;
  plan.grid = Grid(CeilDiv(shape.rows, plan.rows_per_tile), kMaxGridX);
  plan.shared_bytes = TileBytes(shape, plan);
  return plan;
}

// `threads` for the vectors of a group at `vectors_per_thread`, and as many private copies of the sums as fit.
GroupPlan PlanGroups(const GroupShape& shape, std::int64_t vectors_per_thread, std::int64_t fixed_bytes,
                     std::int64_t copy_bytes, std::int64_t budget) {
  constexpr std::int64_t kMaxThreads = 512;
  GroupPlan plan;
  plan.grid = Grid(shape.group_count, kMaxGridX);
  plan.threads = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
      CeilPowerOfTwo(CeilDiv(shape.max_group_vectors, vectors_per_thread)), 2 * kWarp, kMaxThreads));
  const std::int64_t warps = plan.threads / kWarp;
  plan.sum_copies = static_cast<int>(std::clamp<std::int64_t>((budget - fixed_bytes) / copy_bytes, 1, warps));
  plan.shared_bytes = static_cast<std::size_t>(fixed_bytes + plan.sum_copies * copy_bytes);
  return plan;
}

}  // namespace

RowsPlan PlanRows(std::int64_t rows, std::int64_t items_per_row, const DeviceLimits& limits) {
  return PlanRowsOf(rows, std::clamp<std::int64_t>(CeilPowerOfTwo(items_per_row), 1, kThreads), limits);
}

RowsPlan PlanWarpRows(std::int64_t rows, const DeviceLimits& limits) { return PlanRowsOf(rows, kWarp, limits); }

PiecesPlan PlanPieces(std::int64_t pieces, std::int64_t width) {
  constexpr std::int64_t kElementsPerThread = 8;
  PiecesPlan plan;
  plan.grid = Grid(pieces, kMaxGridX);
  plan.threads = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(CeilPowerOfTwo(CeilDiv(width, kElementsPerThread)), kWarp, 512));
  return plan;
}

TrianglePlan PlanTriangle(std::int64_t order) {
  TrianglePlan plan;
  plan.tiles_per_side = CeilDiv(order, kWarp);
  plan.grid = Grid(plan.tiles_per_side * (plan.tiles_per_side + 1) / 2, kMaxGridX);
  return plan;
}

std::int64_t MaxGroupsOfRows(std::int64_t count, std::int64_t rows, std::int64_t row_blocks) {
  const std::int64_t least_height = std::max<std::int64_t>(rows / std::max<std::int64_t>(row_blocks, 1), 1);
  const std::int64_t touched = count < 2 ? count : (count - 2) / least_height + 2;
  return std::min({touched, count, std::max<std::int64_t>(row_blocks, 1)});
}

absl::StatusOr<TilePlan> PlanTile(const TileShape& shape, const DeviceLimits& limits) {
  for (std::int64_t threads = kThreads; threads >= kWarp; threads /= 2) {
    for (int lanes = LanesFor(shape.rows, limits); lanes <= kWarp; lanes *= 2) {
      const TilePlan plan = TileOf(shape, threads, lanes);
      if (static_cast<std::int64_t>(plan.shared_bytes) <= limits.shared_bytes) return plan;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("cuda: a block of ", shape.width,
                                                 " columns does not fit the shared memory of the device, ",
                                                 limits.shared_bytes, " bytes"));
}

absl::StatusOr<TilePlan> PlanUniformTile(std::int64_t rows, std::int64_t width, const DeviceLimits& limits) {
  return PlanTile({.rows = rows, .width = width, .centroid_count = 0}, limits);
}

GroupPlan PlanCluster(const GroupShape& shape, const DeviceLimits& limits) {
  const std::int64_t k = shape.centroid_count, d = shape.vector_dim;
  const std::int64_t sizes = static_cast<std::int64_t>(sizeof(std::int32_t)) * k;
  const std::int64_t sums = static_cast<std::int64_t>(sizeof(double)) * 2 * d * k;
  const std::int64_t fixed = static_cast<std::int64_t>(sizeof(float)) * d * k + 4096;  // centroids, reductions
  return PlanGroups(shape, d == 4 ? 4 : 8, fixed, sums + sizes, std::min<std::int64_t>(limits.shared_bytes, 96 * 1024));
}

GroupPlan PlanCentroidSums(const GroupShape& shape, const DeviceLimits& limits) {
  const std::int64_t copy = static_cast<std::int64_t>(sizeof(float)) * shape.vector_dim * shape.centroid_count;
  return PlanGroups(shape, 8, 0, copy, std::min<std::int64_t>(limits.shared_bytes, 48 * 1024));
}

absl::StatusOr<AttentionPlan> PlanAttention(const AttentionShape& shape, std::int64_t sequences) {
  constexpr int kMaxHeadDim = 256;
  if (shape.head_dim > kMaxHeadDim || shape.head_count > kMaxGridYZ) {
    return absl::InvalidArgumentError(absl::StrCat("cuda: attention with heads of ", shape.head_dim,
                                                   " elements; at most ", kMaxHeadDim, " are supported"));
  }
  AttentionPlan plan;
  plan.padded_dim = static_cast<int>(std::max<std::int64_t>(CeilPowerOfTwo(shape.head_dim), 16));
  plan.query_tile = plan.padded_dim == kMaxHeadDim ? 64 : 128;  // 16 queries a warp
  plan.key_tile = plan.padded_dim == kMaxHeadDim ? 32 : 64;
  plan.grid_x = Grid(CeilDiv(shape.sequence_length, plan.query_tile), kMaxGridX);
  plan.grid_y = static_cast<std::uint32_t>(shape.head_count);
  plan.grid_z = Grid(sequences, kMaxGridYZ);
  plan.launches = CeilDiv(sequences, plan.grid_z);
  const std::int64_t rows = plan.query_tile + 4 * plan.key_tile;  // queries; keys and values, two stages each
  plan.shared_bytes = static_cast<std::size_t>(rows * (plan.padded_dim + 8) * 2);
  return plan;
}

std::int64_t PlanTokenChunk(std::int64_t outputs, std::int64_t scratch_bytes) {
  return std::max<std::int64_t>(scratch_bytes / (std::max<std::int64_t>(outputs, 1) * sizeof(float)), 1);
}

}  // namespace gptvq::cuda
