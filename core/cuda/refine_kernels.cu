// RefineColumns: one pass of coordinate descent over R rows of one block of B columns. Moving q_P by delta
// changes the loss by 2 delta . g_P + delta H_PP delta'; in terms of the new centroid c that is s^2 (c' H_PP c
// + b . c) + const with b = 2 (g_P - H_PP q_P) / s: the sweep's search. Then g += delta H[P, :] over the whole
// block, for rows that moved.
//
// Mapping, bytes, determinism and limits: as sweep_kernels.cu. The noise is a pure function of key, column and
// row, and stands in the gradient only while the centroid is chosen. Counts are integer atomics.
#include "core/backend/formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/sweep_kernels.h"
#include "core/cuda/tile_launch.cuh"
#include "core/cuda/tile_memory.cuh"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

// The gradient of one vector, with the noise.
template <int D>
__device__ void ReadGradient(const RefineArguments& in, std::int64_t row, std::int64_t p, const float* gradient,
                             float (&g)[D]) {
#pragma unroll
  for (int j = 0; j < D; ++j) {
    g[j] = gradient[p + j];
    if (in.noise_deviations == nullptr) continue;
    const std::uint32_t column_key = NoiseColumnKey(in.noise_key, static_cast<std::uint32_t>(p + j));
    const auto row_of_linear = static_cast<std::uint32_t>(in.first_row + row);
    g[j] = fmaf(in.noise_deviations[p + j], AnnealingNoise(column_key, row_of_linear), g[j]);
  }
}

// The centroid that lowers the loss most, or the present one if none lowers it.
template <int D>
__device__ int ChooseCentroid(const DeviceCode& code, const float* codebook, const float* quadratics,
                              const float* metric, const float (&g)[D], int present, float scale,
                              const TilePlace& place) {
  float c[D], q[D], b[D];
#pragma unroll
  for (int j = 0; j < D; ++j) {
    c[j] = codebook[present * D + j];
    q[j] = scale * c[j];
  }
  RefineSlope<D>(metric, g, q, 1.0f / scale, b);
  const Nearest best = FindNearest<D>(codebook, quadratics, code.centroid_count, b, place);
  return best.distance < CentroidDistance<D>(quadratics[present], b, c) ? best.k : present;
}

// gradient += delta H[P, :].
template <int D>
__device__ void AddChange(DeviceView<const float> hessian, std::int64_t p, const float (&delta)[D],
                          const TilePlace& place, float* gradient) {
  const float* factors = hessian.row(p);
  for (std::int64_t c = place.lane; c < hessian.cols; c += place.lanes) {
    float sum = gradient[c];
#pragma unroll
    for (int j = 0; j < D; ++j) sum = fmaf(delta[j], __ldg(factors + j * hessian.stride + c), sum);
    gradient[c] = sum;
  }
}

template <int D>
__global__ __launch_bounds__(256) void RefineColumnsKernel(const TileLayout layout, const RefineArguments in) {
  extern __shared__ __align__(16) float shared[];
  const std::int64_t width = in.gradient.cols;
  const TileMemory<D> memory(shared, layout, in.code, width);
  const TilePlace place(layout, in.code.rows);
  float* const gradients = memory.tiles;
  float* const changes = gradients + layout.rows_per_tile * layout.stride;
  LoadTile({in.gradient.data, in.gradient.rows, in.gradient.cols, in.gradient.stride}, layout, place.first_row,
           gradients);
  for (std::int64_t p = threadIdx.x; p < width / D; p += blockDim.x) {
    PackMetric<D>(&in.hessian.at(p * D, p * D), in.hessian.stride, memory.metrics + p * PackedMetricSize(D));
  }
  const std::int64_t row = place.safe_row(in.code.rows);
  const std::int64_t last_row = min(place.first_row + layout.rows_per_tile, in.code.rows) - 1;
  float* const gradient = gradients + place.row_in_tile * layout.stride;
  float* const change = changes + place.row_in_tile * layout.stride;
  DeviceStripe stripe;
  int entry_count = 0;
  const float* codebook = nullptr;
  const float* quadratics = nullptr;
  unsigned long long changed = 0;
  for (std::int64_t p = 0; p < width; p += D) {
    const std::int64_t column = in.column_begin + p;
    if (column >= stripe.column_end || p == 0) {
      stripe = in.code.Stripe(in.code.StripeIndexAt(column));
      const std::int64_t first_group = in.code.GroupOf(stripe, place.first_row);
      const std::int64_t last_group = in.code.GroupOf(stripe, last_row);
      entry_count = static_cast<int>(last_group - first_group + 1) * in.code.centroid_count;
      const int slot = static_cast<int>(in.code.GroupOf(stripe, row) - first_group) * in.code.centroid_count;
      codebook = memory.codebooks + slot * D;
      quadratics = memory.quadratics + slot;
      LoadCodebooks(in.code, in.codebooks, first_group, last_group, memory.codebooks);
      __syncthreads();
    }
    const float* metric = memory.metrics + p / D * PackedMetricSize(D);
    ComputeQuadratics<D>(memory, metric, entry_count);
    __syncthreads();
    const float scale = in.code.ScaleAt(row, column);
    const int present = place.inside ? in.assignments.at(row, column / D) : 0;
    float g[D], delta[D];
    ReadGradient<D>(in, row, p, gradient, g);
    const int chosen = ChooseCentroid<D>(in.code, codebook, quadratics, metric, g, present, scale, place);
#pragma unroll
    for (int j = 0; j < D; ++j) {
      delta[j] = scale * codebook[chosen * D + j] - scale * codebook[present * D + j];
    }
    __syncwarp();  // all lanes of the row have read its gradient and its assignment
    if (place.lane == 0) {
#pragma unroll
      for (int j = 0; j < D; ++j) change[p + j] = delta[j];
      if (place.inside && chosen != present) {
        in.assignments.at(row, column / D) = static_cast<std::uint8_t>(chosen);
        ++changed;
      }
    }
    if (chosen != present) AddChange<D>(in.hessian, p, delta, place, gradient);
    __syncthreads();  // gradients are complete, and the quadratic forms are no longer needed
  }
  StoreTile(gradients, layout, place.first_row, in.gradient);
  StoreTile(changes, layout, place.first_row, in.change_out);
  changed = WarpSum(changed);
  if (threadIdx.x % 32 == 0 && changed > 0) atomicAdd(in.changed_count, changed);
}

}  // namespace

absl::Status LaunchRefineColumns(const TilePlan& plan, const RefineArguments& arguments, cudaStream_t stream) {
  return ForVectorDim("RefineColumns", arguments.code.vector_dim, [&](auto dim) {
    return LaunchTile("RefineColumnsKernel", RefineColumnsKernel<dim.value>, plan, arguments, stream);
  });
}

}  // namespace gptvq::cuda
