// RMSNorm, rotary embedding, SwiGLU, addition, bias and log-sum-exp. Each reads and writes every element once
// (RMSNorm reads twice, the second time from the first-level cache), so the roof is device memory: 2 bytes an
// element and matrix. Elementwise kernels move 16 bytes a thread where the matrices are aligned to that.
// Accumulation: f32.
// Determinism: the sum of a piece runs in an order fixed by its width.
// Limits: none; 64-bit indices.
#include "core/backend/code_formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/forward_kernels.h"

namespace gptvq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;

dim3 BlockOf(const RowsPlan& plan) { return dim3(plan.threads_x, plan.threads_y); }

template <int N>
struct alignas(2 * N) Pack {
  std::uint16_t at[N];
};
template <int N>
__device__ Pack<N> LoadPack(const std::uint16_t* from) {
  return *reinterpret_cast<const Pack<N>*>(from);
}
template <int N>
__device__ void StorePack(const Pack<N>& pack, std::uint16_t* to) {
  *reinterpret_cast<Pack<N>*>(to) = pack;
}

// out = formula(a, b), element by element, N at a time. The output may be one of the inputs.
template <int N, typename Formula>
__device__ void ForEachPack(ConstBf16View a, ConstBf16View b, Bf16View out, Formula formula) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < out.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    for (std::int64_t c = std::int64_t{threadIdx.x} * N; c < out.cols; c += std::int64_t{blockDim.x} * N) {
      const Pack<N> x = LoadPack<N>(a.row(r) + c), y = LoadPack<N>(b.row(r) + c);
      Pack<N> z;
#pragma unroll
      for (int i = 0; i < N; ++i) z.at[i] = ToBf16(formula(FromBf16(x.at[i]), FromBf16(y.at[i])));
      StorePack<N>(z, out.row(r) + c);
    }
  }
}

template <int N>
__global__ __launch_bounds__(kThreads) void SwiGluKernel(ConstBf16View gate, ConstBf16View up, Bf16View out) {
  ForEachPack<N>(gate, up, out, [](float g, float u) { return SwiGluOf(g, u); });
}

template <int N>
__global__ __launch_bounds__(kThreads) void AddInPlaceKernel(ConstBf16View x, Bf16View y) {
  ForEachPack<N>(x, {y.data, y.rows, y.cols, y.stride}, y, [](float a, float b) { return a + b; });
}

__global__ __launch_bounds__(512) void RmsNormKernel(const NormArguments in) {
  __shared__ float scratch[32];
  const std::int64_t pieces = in.x.rows * in.pieces_per_row;
  for (std::int64_t piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    const std::int64_t row = piece / in.pieces_per_row, column = piece % in.pieces_per_row * in.width;
    const std::uint16_t* x = in.x.row(row) + column;
    std::uint16_t* y = in.y_out.row(row) + column;
    float sum = 0;
    for (std::int64_t c = threadIdx.x; c < in.width; c += blockDim.x) {
      const float value = FromBf16(x[c]);
      sum = fmaf(value, value, sum);
    }
    sum = BlockSum(sum, scratch);
    const float factor = 1.0f / sqrtf(sum / static_cast<float>(in.width) + in.epsilon);
    for (std::int64_t c = threadIdx.x; c < in.width; c += blockDim.x) {
      y[c] = ToBf16(FromBf16(x[c]) * factor * in.weight[c]);
    }
  }
}

__global__ __launch_bounds__(kThreads) void ApplyRotaryKernel(Bf16View x, DeviceView<const float> cosines,
                                                              DeviceView<const float> sines) {
  const std::int64_t half = cosines.cols, pairs = x.cols / 2;
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < x.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    const float* cosine = cosines.row(r % cosines.rows);
    const float* sine = sines.row(r % cosines.rows);
    for (std::int64_t pair = threadIdx.x; pair < pairs; pair += blockDim.x) {
      const std::int64_t i = pair % half;
      std::uint16_t* low = x.row(r) + pair / half * 2 * half + i;
      std::uint16_t* high = low + half;
      const float a = FromBf16(*low), b = FromBf16(*high);
      *low = ToBf16(a * cosine[i] - b * sine[i]);
      *high = ToBf16(b * cosine[i] + a * sine[i]);
    }
  }
}

__global__ __launch_bounds__(kThreads) void AddBiasKernel(DeviceView<const float> sums, const float* __restrict__ bias,
                                                          Bf16View y) {
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < y.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    for (std::int64_t c = threadIdx.x; c < y.cols; c += blockDim.x) {
      y.at(r, c) = ToBf16(sums.at(r, c) + (bias == nullptr ? 0.0f : bias[c]));
    }
  }
}

__global__ __launch_bounds__(512) void FoldLogitsKernel(const LogitsArguments in) {
  __shared__ float scratch[32];
  for (std::int64_t t = blockIdx.x; t < in.logits.rows; t += gridDim.x) {
    const float* logits = in.logits.row(t);
    float largest = -INFINITY;
    for (std::int64_t c = threadIdx.x; c < in.logits.cols; c += blockDim.x) largest = fmaxf(largest, logits[c]);
    const float before = in.max.at(t, 0);
    const float after = fmaxf(before, BlockMax(largest, scratch));
    float sum = 0;
    for (std::int64_t c = threadIdx.x; c < in.logits.cols; c += blockDim.x) sum += expf(logits[c] - after);
    sum = BlockSum(sum, scratch);
    if (threadIdx.x != 0) continue;
    const std::int64_t index = in.targets[t] - in.first_token;
    if (index >= 0 && index < in.logits.cols) in.target_logit.at(t, 0) = logits[index];
    in.sum.at(t, 0) = in.sum.at(t, 0) * expf(before - after) + sum;
    in.max.at(t, 0) = after;
  }
}

bool IsAligned(ConstBf16View view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % (2 * kPack) == 0 && view.stride % kPack == 0 &&
         view.cols % kPack == 0;
}

ConstBf16View ReadOnlyBf16(Bf16View view) { return {view.data, view.rows, view.cols, view.stride}; }

}  // namespace

int PackWidth(ConstBf16View a, ConstBf16View b, ConstBf16View c) {
  return IsAligned(a) && IsAligned(b) && IsAligned(c) ? kPack : 1;
}

absl::Status LaunchRmsNorm(const PiecesPlan& plan, const NormArguments& arguments, cudaStream_t stream) {
  RmsNormKernel<<<plan.grid, plan.threads, 0, stream>>>(arguments);
  return LaunchStatus("RmsNormKernel");
}

absl::Status LaunchApplyRotary(const RowsPlan& plan, Bf16View x, DeviceView<const float> cosines,
                               DeviceView<const float> sines, cudaStream_t stream) {
  ApplyRotaryKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(x, cosines, sines);
  return LaunchStatus("ApplyRotaryKernel");
}

absl::Status LaunchSwiGlu(const RowsPlan& plan, ConstBf16View gate, ConstBf16View up, Bf16View out,
                          cudaStream_t stream) {
  if (PackWidth(gate, up, ReadOnlyBf16(out)) == kPack) {
    SwiGluKernel<kPack><<<plan.grid, BlockOf(plan), 0, stream>>>(gate, up, out);
  } else {
    SwiGluKernel<1><<<plan.grid, BlockOf(plan), 0, stream>>>(gate, up, out);
  }
  return LaunchStatus("SwiGluKernel");
}

absl::Status LaunchAddInPlace(const RowsPlan& plan, ConstBf16View x, Bf16View y, cudaStream_t stream) {
  if (PackWidth(x, x, ReadOnlyBf16(y)) == kPack) {
    AddInPlaceKernel<kPack><<<plan.grid, BlockOf(plan), 0, stream>>>(x, y);
  } else {
    AddInPlaceKernel<1><<<plan.grid, BlockOf(plan), 0, stream>>>(x, y);
  }
  return LaunchStatus("AddInPlaceKernel");
}

absl::Status LaunchAddBias(const RowsPlan& plan, DeviceView<const float> sums, const float* bias, Bf16View y_out,
                           cudaStream_t stream) {
  AddBiasKernel<<<plan.grid, BlockOf(plan), 0, stream>>>(sums, bias, y_out);
  return LaunchStatus("AddBiasKernel");
}

absl::Status LaunchFoldLogits(const PiecesPlan& plan, const LogitsArguments& arguments, cudaStream_t stream) {
  FoldLogitsKernel<<<plan.grid, plan.threads, 0, stream>>>(arguments);
  return LaunchStatus("FoldLogitsKernel");
}

}  // namespace gptvq::cuda
