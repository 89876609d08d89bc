#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_TENSOR_CORE_SUM_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_TENSOR_CORE_SUM_H_

#include <cmath>

namespace gptvq::simt {

// How tensor cores add: so many products at a time to the running sum, and the result cut off to f32, not rounded (Fasi, Higham,
// Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021). The numbers are those of compute capability 8.0; the
// more are added at a time, the less is lost.
inline constexpr int kBf16ProductsAtATime = 8;
inline constexpr int kTf32ProductsAtATime = 4;

inline float CutOff(double sum) {
  const float rounded = static_cast<float>(sum);
  return std::fabs(static_cast<double>(rounded)) > std::fabs(sum) ? std::nextafterf(rounded, 0.0f) : rounded;
}

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_TENSOR_CORE_SUM_H_
