#ifndef GPTVQ_CORE_CUDA_LAUNCH_PLAN_H_
#define GPTVQ_CORE_CUDA_LAUNCH_PLAN_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/forward_ops.h"
#include "core/backend/host_device.h"

// Launch geometry: pure functions from shapes and device limits to grids, thread blocks and shared memory. No
// CUDA header, no device: all of it is tested where there is no GPU. Geometry never changes a result: sums run
// in orders fixed by the shapes, and a thread block only decides which rows are worked on together.
namespace gptvq::cuda {

// What a device allows, asked once when the backend is made. The defaults are those of compute capability 8.0.
struct DeviceLimits {
  int multiprocessors = 108;
  std::int64_t shared_bytes = 163 * 1024;  // of one thread block, after opting in
};

inline constexpr int kWarp = 32;
inline constexpr std::int64_t kMaxGridX = 2147483647;
inline constexpr std::int64_t kMaxGridYZ = 65535;

// Rows and columns of a matrix: a thread block is threads_y rows by threads_x columns and strides over what is
// left. Every grid has at least one thread block, so empty matrices launch and do nothing.
struct RowsPlan {
  std::uint32_t grid = 1;
  std::uint32_t threads_x = kWarp;
  std::uint32_t threads_y = 8;
};
RowsPlan PlanRows(std::int64_t rows, std::int64_t items_per_row, const DeviceLimits& limits);

// The same with exactly one warp per row, for reductions along rows.
RowsPlan PlanWarpRows(std::int64_t rows, const DeviceLimits& limits);

// One thread block per piece of `width` elements (normalisation, log-sum-exp): as many threads as there is work
// for, whole warps, a power of two so that sums fold evenly.
struct PiecesPlan {
  std::uint32_t grid = 1;
  std::uint32_t threads = kWarp;
};
PiecesPlan PlanPieces(std::int64_t pieces, std::int64_t width);

// Tiles of 32 x 32 elements on or above the diagonal of a square matrix, one thread block each.
struct TrianglePlan {
  std::int64_t tiles_per_side = 0;
  std::uint32_t grid = 1;
};
TrianglePlan PlanTriangle(std::int64_t order);

// The k-th tile (row, column), row <= column, of a triangle enumerated column by column; k < 2^31.
struct TileIndex {
  std::int64_t row = 0;
  std::int64_t col = 0;
};
GPTVQ_HD inline TileIndex TriangleTile(std::int64_t k) {
  auto col = static_cast<std::int64_t>((sqrt(8.0 * static_cast<double>(k) + 1.0) - 1.0) / 2.0);
  while ((col + 1) * (col + 2) / 2 <= k) ++col;  // where the square root was rounded
  while (col * (col + 1) / 2 > k) --col;
  return {k - col * (col + 1) / 2, col};
}

// The column sweeps: a thread block takes rows_per_tile rows through a block of columns; lanes_per_row
// neighbouring threads work on each row, sharing out its centroids and its later columns.
struct TileShape {
  std::int64_t rows = 0;
  std::int64_t width = 0;  // columns of the block
  int vector_dim = 1;
  int centroid_count = 1;
  std::int64_t max_row_blocks = 1;  // of any stripe
  int matrices = 2;                 // [rows, width] tiles kept on chip: target and error, or gradient and change
};
struct TilePlan {
  std::uint32_t grid = 1;
  std::uint32_t threads = 0;
  int lanes_per_row = 0;
  int rows_per_tile = 0;
  int groups_per_tile = 0;       // codebooks on chip at a time, at most
  std::int64_t tile_stride = 0;  // floats between the rows of a tile: odd, so that columns spread over the banks
  std::size_t shared_bytes = 0;
};
// Errors: InvalidArgument when not even one row fits.
absl::StatusOr<TilePlan> PlanTile(const TileShape& shape, const DeviceLimits& limits);

// Most groups that `count` consecutive rows touch when `rows` rows are cut into `row_blocks` blocks of nearly
// equal height.
std::int64_t MaxGroupsOfRows(std::int64_t count, std::int64_t rows, std::int64_t row_blocks);

// The uniform sweep: the same without codebooks.
absl::StatusOr<TilePlan> PlanUniformTile(std::int64_t rows, std::int64_t width, const DeviceLimits& limits);

// EM and sums by centroid: one thread block per group. `sum_copies` warps keep private sums, folded in their order.
struct GroupPlan {
  std::uint32_t grid = 1;
  std::uint32_t threads = 0;
  int sum_copies = 0;
  std::size_t shared_bytes = 0;
};
struct GroupShape {
  std::int64_t group_count = 0;
  std::int64_t max_group_vectors = 0;
  int vector_dim = 1;
  int centroid_count = 1;
};
GroupPlan PlanCluster(const GroupShape& shape, const DeviceLimits& limits);
GroupPlan PlanCentroidSums(const GroupShape& shape, const DeviceLimits& limits);

// Causal attention: a thread block takes query_tile queries of one head through the keys, key_tile at a time.
// head_dim is padded with zeros to padded_dim.
struct AttentionPlan {
  std::uint32_t grid_x = 1;   // query tiles of a sequence
  std::uint32_t grid_y = 1;   // heads
  std::uint32_t grid_z = 1;   // sequences of one launch
  std::int64_t launches = 0;  // of grid_z sequences each, the last one with what is left
  int padded_dim = 0;         // 16, 32, 64, 128 or 256
  int query_tile = 0;
  int key_tile = 0;
  std::size_t shared_bytes = 0;
};
// Errors: InvalidArgument for heads wider than 256.
absl::StatusOr<AttentionPlan> PlanAttention(const AttentionShape& shape, std::int64_t sequences);

// A product of [tokens, inner] by [inner, outputs] whose f32 result is looked at before it is rounded or
// forgotten: as many tokens at a time as fit `scratch_bytes`, at least one.
std::int64_t PlanTokenChunk(std::int64_t outputs, std::int64_t scratch_bytes);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_LAUNCH_PLAN_H_
