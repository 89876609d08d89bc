#ifndef GPTVQ_CORE_BACKEND_FORMULAS_H_
#define GPTVQ_CORE_BACKEND_FORMULAS_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/backend/host_device.h"

// Scalar formulas that every backend computes with: arithmetic only, no memory but what is passed.
namespace gptvq {

// Largest vector dimension a backend is asked for.
inline constexpr int kMaxVectorDim = 4;

// One row's grid of one group: weight = scale * (code - zero_point).
struct UniformGrid {
  float scale = 1;  // exactly an IEEE half once RoundScale was applied
  float zero_point = 0;
};

// The asymmetric min/max grid of GPTQ (Frantar et al. 2022, quant.py): the range includes zero; a range of nothing but
// zeros becomes [-1, 1]. `max_code` = 2^bits - 1. The scale still has to be rounded to half, and the zero point is
// taken from the rounded scale by UniformZeroPoint.
GPTVQ_HD inline float UniformScale(float low, float high, float max_code) {
  const float from = fminf(low, 0.0f);
  const float to = fmaxf(high, 0.0f);
  return from == to ? 2.0f / max_code : (to - from) / max_code;
}

GPTVQ_HD inline float UniformZeroPoint(float low, float high, float scale, float max_code) {
  const float from = low >= 0.0f && high <= 0.0f ? -1.0f : fminf(low, 0.0f);
  return fminf(fmaxf(rintf(-from / scale), 0.0f), max_code);
}

// Code of x on a grid: round to nearest, ties to even, clamped to [0, max_code].
GPTVQ_HD inline float UniformCode(float x, const UniformGrid& grid, float max_code) {
  return fminf(fmaxf(rintf(x / grid.scale) + grid.zero_point, 0.0f), max_code);
}

// x rounded to the 11 significant bits that tensor cores multiply (TF32), ties to even; NaN and infinities stay.
GPTVQ_HD inline float RoundToTf32(float x) {
  constexpr std::uint32_t kDropped = 13, kExponent = 0x7f800000u;
  std::uint32_t bits = 0;
  memcpy(&bits, &x, sizeof(bits));
  if ((bits & kExponent) == kExponent) return x;
  bits += (1u << (kDropped - 1)) - 1 + ((bits >> kDropped) & 1);
  bits &= ~((1u << kDropped) - 1);
  memcpy(&x, &bits, sizeof(x));
  return x;
}

// x = high + low but for 2^-22 |x|, both parts exact in TF32: so high h' + high l' + low h' is the product of two numbers
// but for 3 * 2^-22 of it. Where x is not finite low is 0.
struct Tf32Pair {
  float high = 0;
  float low = 0;
};
GPTVQ_HD inline Tf32Pair SplitTf32(float x) {
  const float high = RoundToTf32(x);
  const float low = RoundToTf32(x - high);
  return {high, x - x == 0 ? low : 0.0f};
}

// A bijection of 32 bits in which every input bit changes every output bit with a chance near one half ("lowbias32" of
// Wellons, Hash Prospector, 2018).
GPTVQ_HD inline std::uint32_t MixBits(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// Random numbers of mean 0 and variance 1, nearly normal, for annealing: a pure function of the key and the place in the
// matrix. The sum of the four bytes of a hash has mean 510 and variance 4 (256^2 - 1) / 12.
GPTVQ_HD inline std::uint32_t NoiseColumnKey(std::uint32_t key, std::uint32_t column) { return MixBits(key + column); }
GPTVQ_HD inline float AnnealingNoise(std::uint32_t column_key, std::uint32_t row) {
  constexpr float kDeviation = 147.80054f;
  const std::uint32_t bits = MixBits(column_key + row * 0x9e3779b9u);
  const std::uint32_t sum = (bits & 0xff) + ((bits >> 8) & 0xff) + ((bits >> 16) & 0xff) + (bits >> 24);
  return (static_cast<float>(sum) - 510.0f) * (1.0f / kDeviation);
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_FORMULAS_H_
