#ifndef GPTVQ_CORE_CUDA_TILE_MEMORY_CUH_
#define GPTVQ_CORE_CUDA_TILE_MEMORY_CUH_

#include <cstdint>

#include "core/backend/code_formulas.h"
#include "core/cuda/device_code.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// What the sweep and the refinement share: a thread block's tile of rows, the codebooks of its rows, and the
// search. The layout of the shared memory mirrors TileBytes in launch_plan.cc: codebooks [groups, K, D],
// quadratic forms [groups, K], metrics [positions, D (D + 1) / 2], then the [rows, width] tiles, `stride`
// floats from row to row.
namespace gptvq::cuda {

// The plan as a kernel parameter.
struct TileLayout {
  int lanes_per_row = 0;
  int rows_per_tile = 0;
  int groups_per_tile = 0;
  std::int64_t stride = 0;
};
inline TileLayout LayoutOf(const TilePlan& plan) {
  return {plan.lanes_per_row, plan.rows_per_tile, plan.groups_per_tile, plan.tile_stride};
}

template <int D>
struct TileMemory {
  float* codebooks;
  float* quadratics;
  float* metrics;
  float* tiles;

  __device__ TileMemory(float* shared, const TileLayout& layout, const DeviceCode& code, std::int64_t width) {
    codebooks = shared;
    quadratics = codebooks + layout.groups_per_tile * code.centroid_count * D;
    metrics = quadratics + layout.groups_per_tile * code.centroid_count;
    tiles = metrics + width / D * PackedMetricSize(D);
  }
};

// Where a thread stands: lane `lane` of the lanes_per_row that work on row `row` of the linear.
struct TilePlace {
  std::int64_t first_row;  // of the tile
  int row_in_tile;
  int lane;
  int lanes;
  bool inside;  // the row exists; the last tile may be short

  __device__ TilePlace(const TileLayout& layout, std::int64_t rows)
      : first_row(std::int64_t{blockIdx.x} * layout.rows_per_tile),
        row_in_tile(static_cast<int>(threadIdx.x) / layout.lanes_per_row),
        lane(static_cast<int>(threadIdx.x) % layout.lanes_per_row),
        lanes(layout.lanes_per_row),
        inside(first_row + row_in_tile < rows) {}
  __device__ std::int64_t row() const { return first_row + row_in_tile; }
  // A row of the matrix whatever the thread: what idle threads compute is thrown away.
  __device__ std::int64_t safe_row(std::int64_t rows) const { return inside ? row() : rows - 1; }
};

// Rows of a matrix into a tile and back, neighbouring threads neighbouring columns. The caller synchronises.
__device__ inline void LoadTile(DeviceView<const float> matrix, const TileLayout& layout, std::int64_t first_row,
                                float* tile) {
  const int cols = static_cast<int>(matrix.cols);  // a tile fits in shared memory, so 32 bits are enough
  for (int i = threadIdx.x; i < layout.rows_per_tile * cols; i += blockDim.x) {
    const int r = i / cols, c = i % cols;
    tile[r * layout.stride + c] = first_row + r < matrix.rows ? matrix.at(first_row + r, c) : 0.0f;
  }
}
__device__ inline void StoreTile(const float* tile, const TileLayout& layout, std::int64_t first_row,
                                 DeviceView<float> matrix) {
  const int cols = static_cast<int>(matrix.cols);  // a tile fits in shared memory, so 32 bits are enough
  for (int i = threadIdx.x; i < layout.rows_per_tile * cols; i += blockDim.x) {
    const int r = i / cols, c = i % cols;
    if (first_row + r < matrix.rows) matrix.at(first_row + r, c) = tile[r * layout.stride + c];
  }
}

// The codebooks that the tile's rows use in a stripe: groups first_group, first_group + 1, ... The caller
// synchronises.
__device__ inline void LoadCodebooks(const DeviceCode& code, DeviceView<const float> codebooks,
                                     std::int64_t first_group, std::int64_t last_group, float* to) {
  const std::int64_t entries = std::int64_t{code.centroid_count} * code.vector_dim;
  const std::int64_t count = (last_group - first_group + 1) * entries;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    to[i] = codebooks.at(first_group + i / entries, i % entries);
  }
}

// c' A c of every codebook entry on chip, for the metric of one position. The caller synchronises.
template <int D>
__device__ void ComputeQuadratics(const TileMemory<D>& memory, const float* metric, int entry_count) {
  for (int i = threadIdx.x; i < entry_count; i += blockDim.x) {
    memory.quadratics[i] = QuadraticForm<D>(metric, memory.codebooks + i * D);
  }
}

struct Nearest {
  float distance;
  int k;
};

// argmin_k of the distance over one codebook, the smallest k on ties; the lanes of a row share the work and all
// get the result. `codebook`, `quadratics`: the row's own group.
template <int D>
__device__ Nearest FindNearest(const float* codebook, const float* quadratics, int centroid_count, const float (&b)[D],
                               const TilePlace& place) {
  Nearest best = {INFINITY, 0};
  for (int k = place.lane; k < centroid_count; k += place.lanes) {
    const float distance = CentroidDistance<D>(quadratics[k], b, VectorAt<D>(codebook, k).at);
    if (distance < best.distance) best = {distance, k};
  }
  for (int offset = place.lanes / 2; offset > 0; offset /= 2) {
    const float distance = __shfl_xor_sync(kAllLanes, best.distance, offset);
    const int k = __shfl_xor_sync(kAllLanes, best.k, offset);
    if (distance < best.distance || (distance == best.distance && k < best.k)) best = {distance, k};
  }
  return best;
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_TILE_MEMORY_CUH_
