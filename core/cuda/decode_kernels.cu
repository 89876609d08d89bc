// DecodeVectors: q(r, P) = s c_k. A warp takes one row of one stripe, so that all its lanes read one codebook
// (first-level cache) and neighbouring vectors.
// Bytes per weight: 4 written, 1 / D read; the roof is device memory.
//
// Centroid sums: sums[g, k] = sum of s x over the vectors of group g at centroid k. A thread block takes one
// group; each of the first sum_copies warps adds its vectors into a private copy in shared memory, lanes of
// equal centroids in lane order, and the copies are folded in their order.
// Bytes per weight: 4 + 1 / D read.
// Accumulation: f32.
// Determinism: the order depends on the shape of the group alone.
// Limits: D in {1, 2, 4}, K <= 256.
#include "core/cuda/cuda_status.h"
#include "core/cuda/decode_kernels.h"
#include "core/cuda/group_sums.cuh"
#include "core/cuda/tile_launch.cuh"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

template <int D>
__global__ __launch_bounds__(256) void DecodeVectorsKernel(const DeviceCode code, DeviceView<const float> codebooks,
                                                           DeviceView<const std::uint8_t> assignments,
                                                           DeviceView<float> q) {
  for (std::int64_t index = blockIdx.y; index < code.stripe_count; index += gridDim.y) {
    const DeviceStripe stripe = code.Stripe(index);
    for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < code.rows;
         r += std::int64_t{gridDim.x} * blockDim.y) {
      const float* codebook = codebooks.row(code.GroupOf(stripe, r));
      for (std::int64_t c = stripe.column_begin + std::int64_t{threadIdx.x} * D; c < stripe.column_end; c += 32 * D) {
        const int k = assignments.at(r, c / D);
        const float scale = code.ScaleAt(r, c);
#pragma unroll
        for (int j = 0; j < D; ++j) q.at(r, c + j) = scale * __ldg(codebook + k * D + j);
      }
    }
  }
}

template <int D>
__global__ __launch_bounds__(512) void CentroidSumsKernel(const int sum_copies, const CentroidSumsArguments in) {
  extern __shared__ float sums[];  // [sum_copies, K, D]
  const int entries = in.code.centroid_count * D;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  for (std::int64_t group = blockIdx.x; group < in.sums_out.rows; group += gridDim.x) {
    const std::int64_t index = min(group / in.code.stripe_row_blocks, in.code.stripe_count - 1);
    const DeviceStripe stripe = in.code.Stripe(index);
    const std::int64_t block = group - stripe.first_group;
    const std::int64_t row_end = in.code.RowBlockBegin(stripe, block + 1);
    for (int i = threadIdx.x; i < sum_copies * entries; i += blockDim.x) sums[i] = 0;
    __syncthreads();
    if (warp < sum_copies) {
      float* own = sums + warp * entries;
      for (std::int64_t r = in.code.RowBlockBegin(stripe, block) + warp; r < row_end; r += sum_copies) {
        for (std::int64_t first = stripe.column_begin; first < stripe.column_end; first += 32 * D) {
          const std::int64_t c = first + lane * D;
          const bool inside = c < stripe.column_end;
          const int k = inside ? in.assignments.at(r, c / D) : 0;
          const float scale = inside ? in.code.ScaleAt(r, c) : 0.0f;
          const float factor = in.factor == ScaleFactor::kScale ? scale : scale * scale;
          float values[D];
#pragma unroll
          for (int j = 0; j < D; ++j) values[j] = inside ? factor * in.x.at(r, c + j) : 0.0f;
          AddInLaneOrder(inside, k, [&] {
#pragma unroll
            for (int j = 0; j < D; ++j) own[k * D + j] += values[j];
          });
        }
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < entries; i += blockDim.x) {
      float sum = 0;
      for (int copy = 0; copy < sum_copies; ++copy) sum += sums[copy * entries + i];
      in.sums_out.at(group, i) = sum;
    }
    __syncthreads();
  }
}

template <int D>
absl::Status LaunchSums(const GroupPlan& plan, const CentroidSumsArguments& arguments, cudaStream_t stream) {
  GPTVQ_RETURN_IF_ERROR(AllowSharedBytes("CentroidSumsKernel", CentroidSumsKernel<D>));
  CentroidSumsKernel<D><<<plan.grid, plan.threads, plan.shared_bytes, stream>>>(plan.sum_copies, arguments);
  return LaunchStatus("CentroidSumsKernel");
}

}  // namespace

absl::Status LaunchDecodeVectors(const RowsPlan& plan, const DeviceCode& code, DeviceView<const float> codebooks,
                                 DeviceView<const std::uint8_t> assignments, DeviceView<float> q_out,
                                 cudaStream_t stream) {
  const auto stripes = static_cast<unsigned>(code.stripe_count < kMaxGridYZ ? code.stripe_count : kMaxGridYZ);
  return ForVectorDim("DecodeVectors", code.vector_dim, [&](auto dim) {
    DecodeVectorsKernel<dim.value><<<dim3(plan.grid, stripes), dim3(plan.threads_x, plan.threads_y), 0, stream>>>(
        code, codebooks, assignments, q_out);
    return LaunchStatus("DecodeVectorsKernel");
  });
}

absl::Status LaunchCentroidSums(const GroupPlan& plan, const CentroidSumsArguments& arguments, cudaStream_t stream) {
  return ForVectorDim("AccumulateCentroidSums", arguments.code.vector_dim,
                      [&](auto dim) { return LaunchSums<dim.value>(plan, arguments, stream); });
}

}  // namespace gptvq::cuda
