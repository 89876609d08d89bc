#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_BF16_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_BF16_H_

#include "core/base/dtype.h"
#include "cuda_runtime_api.h"

struct __nv_bfloat16 {
  std::uint16_t bits;
};
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return {gptvq::FloatToBf16(value)}; }
inline std::uint16_t __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_BF16_H_
