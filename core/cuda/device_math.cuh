#ifndef GPTVQ_CORE_CUDA_DEVICE_MATH_CUH_
#define GPTVQ_CORE_CUDA_DEVICE_MATH_CUH_

#include <cuda_bf16.h>

#include <cstdint>

// Sums over the threads of a warp or a thread block in a fixed order, and bfloat16 kept as bits.
namespace gptvq::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float FromBf16(std::uint16_t bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
__device__ inline std::uint16_t ToBf16(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }

// D consecutive floats that one instruction loads; `from` + k D must be aligned to D floats.
template <int D>
struct alignas(sizeof(float) * D) Vector {
  float at[D];
};
template <int D>
__device__ Vector<D> VectorAt(const float* from, std::int64_t k) {
  return reinterpret_cast<const Vector<D>*>(from)[k];
}

// Butterfly over the warp: every lane gets the sum, added in the same order whatever the lane.
template <typename T>
__device__ T WarpSum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

__device__ inline float WarpMax(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// Over the thread block; every thread gets the result. `scratch`: 32 elements of shared memory, free again
// afterwards. All threads must call; the block is whole warps.
template <typename T, typename Fold>
__device__ T BlockFold(T value, T neutral, T* scratch, Fold fold) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = fold(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = fold(lane < warps ? scratch[lane] : neutral);
  __syncthreads();
  return value;
}
template <typename T>
__device__ T BlockSum(T value, T* scratch) {
  return BlockFold(value, T{0}, scratch, [](T v) { return WarpSum(v); });
}
__device__ inline float BlockMax(float value, float* scratch) {
  return BlockFold(value, -INFINITY, scratch, [](float v) { return WarpMax(v); });
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_DEVICE_MATH_CUH_
