// Element by element and row by row operations: each element is read and written once, so the roof is device
// memory. Threads threads_x wide walk along rows (neighbours read neighbours), threads_y rows at a time; both
// strides are unbounded. Row sums: a warp per row, lane l adds elements l, l + 32, ... in f64, then a
// butterfly: the order is fixed by the width.
// Limits: none; indices are 64 bits wide.
#include <cuda_fp16.h>

#include "core/backend/formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/matrix_kernels.h"

namespace gptvq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 32;

dim3 BlockOf(const RowsPlan& plan) { return dim3(plan.threads_x, plan.threads_y); }

// Calls body(row, column) for every element.
template <typename Body>
__device__ void ForEachElement(std::int64_t rows, std::int64_t cols, Body body) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    for (std::int64_t c = threadIdx.x; c < cols; c += blockDim.x) body(r, c);
  }
}

__global__ __launch_bounds__(kThreads) void AxpbyKernel(Scaling scaling, DeviceView<const float> x,
                                                        DeviceView<float> y) {
  ForEachElement(y.rows, y.cols, [&](std::int64_t r, std::int64_t c) {
    const float kept = scaling.beta == 0 ? 0.0f : scaling.beta * y.at(r, c);
    y.at(r, c) = x.data == nullptr ? kept : scaling.alpha * x.at(r, c) + kept;
  });
}

__global__ __launch_bounds__(kThreads) void ToBf16Kernel(DeviceView<const float> source, Bf16View target) {
  ForEachElement(source.rows, source.cols,
                 [&](std::int64_t r, std::int64_t c) { target.at(r, c) = ToBf16(source.at(r, c)); });
}

__global__ __launch_bounds__(kThreads) void FromBf16Kernel(ConstBf16View source, DeviceView<float> target) {
  ForEachElement(source.rows, source.cols,
                 [&](std::int64_t r, std::int64_t c) { target.at(r, c) = FromBf16(source.at(r, c)); });
}

__device__ float FromHalf(std::uint16_t bits) { return __half2float(__ushort_as_half(bits)); }

__global__ __launch_bounds__(kThreads) void FromHalfKernel(ConstHalfView source, DeviceView<float> target) {
  ForEachElement(source.rows, source.cols,
                 [&](std::int64_t r, std::int64_t c) { target.at(r, c) = FromHalf(source.at(r, c)); });
}

__global__ __launch_bounds__(kThreads) void HalfToBf16Kernel(ConstHalfView source, Bf16View target) {
  ForEachElement(source.rows, source.cols,
                 [&](std::int64_t r, std::int64_t c) { target.at(r, c) = ToBf16(FromHalf(source.at(r, c))); });
}

__global__ __launch_bounds__(kThreads) void SplitKernel(const SplitArguments in) {
  const std::int64_t row_step = in.inner == InnerAxis::kRows ? in.matrix.rows : 0;
  const std::int64_t col_step = in.inner == InnerAxis::kCols ? in.matrix.cols : 0;
  const int low_piece = in.order == SplitOrder::kLowHighHigh ? 0 : 1;
  ForEachElement(in.matrix.rows, in.matrix.cols, [&](std::int64_t r, std::int64_t c) {
    const Tf32Pair pair = SplitTf32(in.matrix.at(r, c));
    for (int piece = 0; piece < 3; ++piece) {
      in.out.at(r + piece * row_step, c + piece * col_step) = piece == low_piece ? pair.low : pair.high;
    }
  });
}

__global__ __launch_bounds__(kThreads) void RowDotsKernel(DeviceView<const float> a, DeviceView<const float> b,
                                                          double* __restrict__ dots_out) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < a.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    double sum = 0;
    for (std::int64_t c = threadIdx.x; c < a.cols; c += kTile) sum += static_cast<double>(a.at(r, c)) * b.at(r, c);
    sum = WarpSum(sum);
    if (threadIdx.x == 0) dots_out[r] = sum;
  }
}

__global__ __launch_bounds__(kThreads) void BlockAbsMaxKernel(DeviceView<const float> x, int block_columns,
                                                              DeviceView<float> maxima) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < x.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    for (std::int64_t block = 0; block < maxima.cols; ++block) {
      const std::int64_t begin = block * block_columns;
      const std::int64_t end = begin + block_columns < x.cols ? begin + block_columns : x.cols;
      float largest = 0;
      for (std::int64_t c = begin + threadIdx.x; c < end; c += kTile) largest = fmaxf(largest, fabsf(x.at(r, c)));
      largest = WarpMax(largest);
      if (threadIdx.x == 0) maxima.at(r, block) = largest;
    }
  }
}

// One tile on or above the diagonal, transposed through shared memory so that both sides are coalesced.
__global__ __launch_bounds__(kThreads) void SymmetrizeKernel(DeviceView<float> h) {
  __shared__ float tile[kTile][kTile + 1];
  const auto [row, col] = TriangleTile(blockIdx.x);
  for (int i = threadIdx.y; i < kTile; i += blockDim.y) {
    const std::int64_t r = row * kTile + i, c = col * kTile + threadIdx.x;
    if (r < h.rows && c < h.cols) tile[i][threadIdx.x] = h.at(r, c);
  }
  __syncthreads();
  for (int i = threadIdx.y; i < kTile; i += blockDim.y) {
    const std::int64_t r = col * kTile + i, c = row * kTile + threadIdx.x;
    if (r < h.rows && c < r) h.at(r, c) = tile[threadIdx.x][i];
  }
}

__global__ __launch_bounds__(kThreads) void SumKernel(const double* __restrict__ values, std::int64_t count,
                                                      double* __restrict__ sum_out) {
  __shared__ double scratch[32];
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += values[i];
  sum = BlockSum(sum, scratch);
  if (threadIdx.x == 0) *sum_out = sum;
}

}  // namespace

absl::Status CheckKernelsFitDevice() {
  cudaFuncAttributes attributes;
  return CudaStatus(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(SumKernel)),
                    "load of the kernels");
}

absl::Status LaunchAxpby(const RowsPlan& plan, const Scaling& scaling, DeviceView<const float> x, DeviceView<float> y,
                         cudaStream_t stream) {
  AxpbyKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(scaling, x, y);
  return LaunchStatus("AxpbyKernel");
}

absl::Status LaunchSplit(const RowsPlan& plan, const SplitArguments& arguments, cudaStream_t stream) {
  SplitKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(arguments);
  return LaunchStatus("SplitKernel");
}

absl::Status LaunchRowDots(const RowsPlan& plan, DeviceView<const float> a, DeviceView<const float> b, double* dots_out,
                           cudaStream_t stream) {
  RowDotsKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(a, b, dots_out);
  return LaunchStatus("RowDotsKernel");
}

absl::Status LaunchBlockAbsMax(const RowsPlan& plan, DeviceView<const float> x, int block_columns,
                               DeviceView<float> maxima_out, cudaStream_t stream) {
  BlockAbsMaxKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(x, block_columns, maxima_out);
  return LaunchStatus("BlockAbsMaxKernel");
}

absl::Status LaunchSymmetrize(const TrianglePlan& plan, DeviceView<float> h, cudaStream_t stream) {
  SymmetrizeKernel<<<plan.grid, dim3(kTile, kThreads / kTile), 0, stream>>>(h);
  return LaunchStatus("SymmetrizeKernel");
}

absl::Status LaunchToBf16(const RowsPlan& plan, DeviceView<const float> source, Bf16View target_out,
                          cudaStream_t stream) {
  ToBf16Kernel<<<plan.grid, BlockOf(plan), 0, stream>>>(source, target_out);
  return LaunchStatus("ToBf16Kernel");
}

absl::Status LaunchFromBf16(const RowsPlan& plan, ConstBf16View source, DeviceView<float> target_out,
                            cudaStream_t stream) {
  FromBf16Kernel<<<plan.grid, BlockOf(plan), 0, stream>>>(source, target_out);
  return LaunchStatus("FromBf16Kernel");
}

absl::Status LaunchFromHalf(const RowsPlan& plan, ConstHalfView source, DeviceView<float> target_out,
                            cudaStream_t stream) {
  FromHalfKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(source, target_out);
  return LaunchStatus("FromHalfKernel");
}

absl::Status LaunchHalfToBf16(const RowsPlan& plan, ConstHalfView source, Bf16View target_out, cudaStream_t stream) {
  HalfToBf16Kernel<<<plan.grid, BlockOf(plan), 0, stream>>>(source, target_out);
  return LaunchStatus("HalfToBf16Kernel");
}

absl::Status LaunchSum(const double* values, std::int64_t count, double* sum_out, cudaStream_t stream) {
  SumKernel<<<1, kThreads, 0, stream>>>(values, count, sum_out);
  return LaunchStatus("SumKernel");
}

}  // namespace gptvq::cuda
