// The kernels around cuBLAS's products and cuSOLVER's factorisation: each reads and writes every element once,
// so the roof is device memory, and all of them together cost a few percent of the products they surround. A
// row of activations is bad when an exponent is all ones: the bits are looked at, nothing is computed. Counts
// are integer atomics: the order does not matter.
// Limits: none; indices are 64 bits wide.
#include "core/backend/code_formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/hessian_kernels.h"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kBf16Exponent = 0x7f80;

dim3 BlockOf(const RowsPlan& plan) { return dim3(plan.threads_x, plan.threads_y); }

template <typename Body>
__device__ void ForEachRow(std::int64_t rows, Body body) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    body(r);
  }
}

__global__ __launch_bounds__(kThreads) void FindBadRowsKernel(ConstBf16View x, std::uint8_t* __restrict__ row_is_bad,
                                                              unsigned long long* __restrict__ bad_count) {
  ForEachRow(x.rows, [&](std::int64_t r) {
    bool bad = false;
    for (std::int64_t c = threadIdx.x; c < x.cols; c += 32) bad = bad || (x.at(r, c) & kBf16Exponent) == kBf16Exponent;
    bad = __any_sync(kAllLanes, bad);
    if (threadIdx.x != 0) return;
    row_is_bad[r] = bad ? 1 : 0;
    if (bad) atomicAdd(bad_count, 1ull);
  });
}

__global__ __launch_bounds__(kThreads) void CopyGoodRowsKernel(ConstBf16View x,
                                                               const std::uint8_t* __restrict__ row_is_bad,
                                                               Bf16View copy) {
  ForEachRow(x.rows, [&](std::int64_t r) {
    const bool bad = row_is_bad[r] != 0;
    for (std::int64_t c = threadIdx.x; c < x.cols; c += blockDim.x) copy.at(r, c) = bad ? 0 : x.at(r, c);
  });
}

__global__ __launch_bounds__(kThreads) void AddUpperTriangleKernel(DeviceView<const float> square,
                                                                   DeviceView<float> h) {
  ForEachRow(h.rows, [&](std::int64_t r) {
    for (std::int64_t c = threadIdx.x; c < h.cols; c += blockDim.x) {
      if (c >= r) h.at(r, c) += square.at(r, c);
    }
  });
}

__global__ __launch_bounds__(kThreads) void ReverseKernel(DeviceView<const float> h, DeviceView<double> factor) {
  const std::int64_t last = h.rows - 1;
  ForEachRow(h.rows, [&](std::int64_t r) {
    for (std::int64_t c = threadIdx.x; c < h.cols; c += blockDim.x) {
      factor.at(last - r, last - c) = c >= r ? static_cast<double>(h.at(r, c)) : 0.0;
    }
  });
}

__global__ __launch_bounds__(kThreads) void ReverseBackKernel(DeviceView<const double> factor, DeviceView<float> h,
                                                              unsigned long long* __restrict__ bad_pivot_count) {
  const std::int64_t last = h.rows - 1;
  ForEachRow(h.rows, [&](std::int64_t r) {
    for (std::int64_t c = threadIdx.x; c < h.cols; c += blockDim.x) {
      const double value = factor.at(last - r, last - c);
      if (c == r && !(value > 0 && isfinite(value))) atomicAdd(bad_pivot_count, 1ull);
      h.at(r, c) = c >= r ? static_cast<float>(value) : 0.0f;
    }
  });
}

template <int D>
__global__ __launch_bounds__(kThreads) void NormalizeBlockColumnsKernel(DeviceView<const float> v,
                                                                        DeviceView<float> m) {
  ForEachRow(v.rows, [&](std::int64_t r) {
    const std::int64_t own = r / D * D;  // first column of the row's own diagonal block
    for (std::int64_t p = std::int64_t{threadIdx.x} * D; p < v.cols; p += std::int64_t{blockDim.x} * D) {
      float solved[D];
      if (p > own) {
        SolveAgainstBlock<D>(v.row(r) + p, v.row(p) + p, v.stride, solved);
      } else {
        for (int j = 0; j < D; ++j) solved[j] = p + j == r ? 1.0f : 0.0f;
      }
      for (int j = 0; j < D; ++j) m.at(r, p + j) = solved[j];
    }
  });
}

}  // namespace

absl::Status LaunchFindBadRows(const RowsPlan& plan, ConstBf16View x, std::uint8_t* row_is_bad_out,
                               unsigned long long* bad_count_out, cudaStream_t stream) {
  FindBadRowsKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(x, row_is_bad_out, bad_count_out);
  return LaunchStatus("FindBadRowsKernel");
}

absl::Status LaunchCopyGoodRows(const RowsPlan& plan, ConstBf16View x, const std::uint8_t* row_is_bad,
                                Bf16View copy_out, cudaStream_t stream) {
  CopyGoodRowsKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(x, row_is_bad, copy_out);
  return LaunchStatus("CopyGoodRowsKernel");
}

absl::Status LaunchAddUpperTriangle(const RowsPlan& plan, DeviceView<const float> square, DeviceView<float> h,
                                    cudaStream_t stream) {
  AddUpperTriangleKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(square, h);
  return LaunchStatus("AddUpperTriangleKernel");
}

absl::Status LaunchReverse(const RowsPlan& plan, DeviceView<const float> h, DeviceView<double> factor_out,
                           cudaStream_t stream) {
  ReverseKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(h, factor_out);
  return LaunchStatus("ReverseKernel");
}

absl::Status LaunchReverseBack(const RowsPlan& plan, DeviceView<const double> factor, DeviceView<float> h_out,
                               unsigned long long* bad_pivot_count_out, cudaStream_t stream) {
  ReverseBackKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(factor, h_out, bad_pivot_count_out);
  return LaunchStatus("ReverseBackKernel");
}

absl::Status LaunchNormalizeBlockColumns(const RowsPlan& plan, DeviceView<const float> v, int vector_dim,
                                         DeviceView<float> m_out, cudaStream_t stream) {
  return ForVectorDim("NormalizeBlockColumns", vector_dim, [&](auto dim) {
    NormalizeBlockColumnsKernel<dim.value><<<plan.grid, BlockOf(plan), 0, stream>>>(v, m_out);
    return LaunchStatus("NormalizeBlockColumnsKernel");
  });
}

}  // namespace gptvq::cuda
