#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_FP16_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_FP16_H_

#include "core/base/dtype.h"
#include "cuda_runtime_api.h"

struct __half {
  std::uint16_t bits;
};
inline __half __float2half_rn(float value) { return {gptvq::FloatToHalf(value)}; }
inline float __half2float(__half value) { return gptvq::HalfToFloat(value.bits); }
inline std::uint16_t __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(std::uint16_t bits) { return {bits}; }

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_FP16_H_
