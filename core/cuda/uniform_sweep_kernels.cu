// SweepUniformColumns: one weight at a time on an asymmetric min/max grid per row and group of columns, with
// the sweep's feedback.
// Mapping, bytes and determinism: as sweep_kernels.cu, without codebooks; the lanes of a row find its grid's
// ends together and share out its later columns.
#include <cuda_fp16.h>

#include "core/backend/formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/sweep_kernels.h"
#include "core/cuda/tile_launch.cuh"
#include "core/cuda/tile_memory.cuh"

namespace gptvq::cuda {
namespace {

constexpr std::uint16_t kSmallestHalf = 0x0001;
constexpr std::uint16_t kLargestHalf = 0x7bff;

struct RowGrid {
  UniformGrid grid;
  std::uint16_t scale_bits;
};

// The grid over columns [begin, end) of a row; all lanes of the row get it.
__device__ RowGrid GridOf(const float* weights, std::int64_t begin, std::int64_t end, float max_code,
                          const TilePlace& place) {
  float low = weights[begin], high = weights[begin];
  for (std::int64_t c = begin + place.lane; c < end; c += place.lanes) {
    low = fminf(low, weights[c]);
    high = fmaxf(high, weights[c]);
  }
  for (int offset = place.lanes / 2; offset > 0; offset /= 2) {
    low = fminf(low, __shfl_xor_sync(kAllLanes, low, offset));
    high = fmaxf(high, __shfl_xor_sync(kAllLanes, high, offset));
  }
  const std::uint16_t bits = __half_as_ushort(__float2half_rn(UniformScale(low, high, max_code)));
  RowGrid row;
  row.scale_bits = min(max(bits, kSmallestHalf), kLargestHalf);  // positive halves are ordered as their bits
  row.grid.scale = __half2float(__ushort_as_half(row.scale_bits));
  row.grid.zero_point = UniformZeroPoint(low, high, row.grid.scale, max_code);
  return row;
}

__global__ __launch_bounds__(256) void SweepUniformKernel(const TileLayout layout, const UniformSweepArguments in) {
  extern __shared__ __align__(16) float shared[];
  const std::int64_t width = in.target.cols;
  const TilePlace place(layout, in.target.rows);
  float* const targets = shared + width;  // the plan's metrics, one float a column, are not needed here
  float* const errors = targets + layout.rows_per_tile * layout.stride;
  LoadTile({in.target.data, in.target.rows, in.target.cols, in.target.stride}, layout, place.first_row, targets);
  if (in.weights.data != nullptr) LoadTile(in.weights, layout, place.first_row, errors);
  __syncthreads();
  const std::int64_t row = place.safe_row(in.target.rows);
  float* const target = targets + place.row_in_tile * layout.stride;
  float* const error = errors + place.row_in_tile * layout.stride;
  const bool writes = place.lane == 0 && place.inside;
  const auto max_code = static_cast<float>((1 << in.bits) - 1);
  UniformGrid grid;
  for (std::int64_t c = 0; c < width; ++c) {
    if (c % in.group_columns == 0) {
      const std::int64_t group = c / in.group_columns;
      const RowGrid found = GridOf(in.grid_weights.row(row), c, min(width, c + in.group_columns), max_code, place);
      grid = found.grid;
      if (writes) {
        in.scales_out.at(row, group) = found.scale_bits;
        in.zero_points_out.at(row, group) = static_cast<std::uint8_t>(grid.zero_point);
      }
    }
    const float code = UniformCode(target[c], grid, max_code);
    const float weight = in.weights.data == nullptr ? target[c] : error[c];
    const float e = weight - grid.scale * (code - grid.zero_point);
    __syncwarp();  // all lanes of the row have read its weight
    if (place.lane == 0) error[c] = e;
    if (writes) in.codes_out.at(row, c) = static_cast<std::uint8_t>(code);
    if (in.feedback.data == nullptr) continue;
    for (std::int64_t later = c + 1 + place.lane; later < width; later += place.lanes) {
      target[later] = fmaf(e, __ldg(in.feedback.row(c) + later), target[later]);
    }
    __syncwarp();
  }
  __syncthreads();
  StoreTile(targets, layout, place.first_row, in.target);
  StoreTile(errors, layout, place.first_row, in.error_out);
}

}  // namespace

absl::Status LaunchSweepUniformColumns(const TilePlan& plan, const UniformSweepArguments& arguments,
                                       cudaStream_t stream) {
  return LaunchTile("SweepUniformKernel", SweepUniformKernel, plan, arguments, stream);
}

}  // namespace gptvq::cuda
