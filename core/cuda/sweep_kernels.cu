// SweepColumns: R rows through one block of B columns, D consecutive columns at a time: k = argmin ||(t - s
// c_k) V_PP||^2, e = w - s c_k, later targets += e M[P, later].
//
// Thread block <-> a tile of rows, lanes_per_row neighbouring threads <-> one row: they share out its K
// centroids and its later columns. Rows do not depend on each other; positions run one after the other.
// Targets and errors of the tile, the codebooks of its rows and c' (V V^T) c of every codebook entry stay in
// shared memory; the last is computed once per position by the whole thread block. M streams through the
// first-level cache, where all rows of a tile read the same numbers.
// Work: K (D + 3) operations per vector and D multiply-adds per later column; bytes: 16 per weight and block.
// Accumulation: f32; the loss in f64 per row.
// Determinism: the sums of a row do not depend on lanes or tiles, and equal distances go to the smaller index,
// so geometry changes no bit.
// Limits: D in {1, 2, 4}; B such that one row and one codebook fit in shared memory (PlanTile says).
#include "core/cuda/cuda_status.h"
#include "core/cuda/sweep_kernels.h"
#include "core/cuda/tile_launch.cuh"
#include "core/cuda/tile_memory.cuh"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

// What a thread knows of its row at one position.
template <int D>
struct Choice {
  float error[D];
  double loss;
  int k;
};

template <int D>
__device__ Choice<D> ChooseCentroid(const DeviceCode& code, const float* codebook, const float* quadratics,
                                    const float* metric, const float* target, const float* weight, float scale,
                                    const TilePlace& place) {
  float t[D], b[D], residual[D];
#pragma unroll
  for (int j = 0; j < D; ++j) t[j] = target[j];
  SweepSlope<D>(metric, t, 1.0f / scale, b);
  Choice<D> choice;
  choice.k = FindNearest<D>(codebook, quadratics, code.centroid_count, b, place).k;
#pragma unroll
  for (int j = 0; j < D; ++j) {
    const float q = scale * codebook[choice.k * D + j];
    residual[j] = t[j] - q;
    choice.error[j] = weight[j] - q;
  }
  choice.loss = QuadraticForm<D>(metric, residual);
  return choice;
}

// target[c] += sum_j error_j M[p + j, c] for the later columns c of the block.
template <int D>
__device__ void FeedBack(DeviceView<const float> feedback, std::int64_t p, const float (&error)[D],
                         const TilePlace& place, float* target) {
  const float* factors = feedback.row(p);
  for (std::int64_t c = p + D + place.lane; c < feedback.cols; c += place.lanes) {
    float sum = target[c];
#pragma unroll
    for (int j = 0; j < D; ++j) sum = fmaf(error[j], __ldg(factors + j * feedback.stride + c), sum);
    target[c] = sum;
  }
}

template <int D>
__global__ __launch_bounds__(256) void SweepColumnsKernel(const TileLayout layout, const SweepArguments in) {
  extern __shared__ __align__(16) float shared[];
  const std::int64_t width = in.target.cols;
  const TileMemory<D> memory(shared, layout, in.code, width);
  const TilePlace place(layout, in.code.rows);
  float* const targets = memory.tiles;
  float* const errors = targets + layout.rows_per_tile * layout.stride;  // holds the weights until they are assigned
  const bool weights_are_target = in.weights.data == nullptr;
  LoadTile({in.target.data, in.target.rows, in.target.cols, in.target.stride}, layout, place.first_row, targets);
  if (!weights_are_target) LoadTile(in.weights, layout, place.first_row, errors);
  for (std::int64_t p = threadIdx.x; p < width / D; p += blockDim.x) {
    PackFactorMetric<D>(&in.metric_factor.at(p * D, p * D), in.metric_factor.stride,
                        memory.metrics + p * PackedMetricSize(D));
  }
  const std::int64_t row = place.safe_row(in.code.rows);
  const std::int64_t last_row = min(place.first_row + layout.rows_per_tile, in.code.rows) - 1;
  float* const target = targets + place.row_in_tile * layout.stride;
  float* const error = errors + place.row_in_tile * layout.stride;
  DeviceStripe stripe;
  int entry_count = 0;
  const float* codebook = nullptr;
  const float* quadratics = nullptr;
  double loss = 0;
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
    const Choice<D> choice =
        ChooseCentroid<D>(in.code, codebook, quadratics, metric, target + p, (weights_are_target ? target : error) + p,
                          in.code.ScaleAt(row, column), place);
    __syncwarp();  // all lanes of the row have read its weight
    if (place.lane == 0) {
#pragma unroll
      for (int j = 0; j < D; ++j) error[p + j] = choice.error[j];
      if (place.inside) in.assignments.at(row, column / D) = static_cast<std::uint8_t>(choice.k);
      loss += choice.loss;
    }
    FeedBack<D>(in.feedback, p, choice.error, place, target);
    __syncthreads();  // targets are complete, and the quadratic forms are no longer needed
  }
  StoreTile(targets, layout, place.first_row, in.target);
  StoreTile(errors, layout, place.first_row, in.error_out);
  if (place.lane == 0 && place.inside) in.row_losses_out[row] = loss;
}

}  // namespace

absl::Status LaunchSweepColumns(const TilePlan& plan, const SweepArguments& arguments, cudaStream_t stream) {
  return ForVectorDim("SweepColumns", arguments.code.vector_dim, [&](auto dim) {
    return LaunchTile("SweepColumnsKernel", SweepColumnsKernel<dim.value>, plan, arguments, stream);
  });
}

}  // namespace gptvq::cuda
