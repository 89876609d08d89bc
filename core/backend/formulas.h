#ifndef GPTVQ_CORE_BACKEND_FORMULAS_H_
#define GPTVQ_CORE_BACKEND_FORMULAS_H_

#include <cmath>

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

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_FORMULAS_H_
