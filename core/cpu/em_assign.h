#ifndef GPTVQ_CORE_CPU_EM_ASSIGN_H_
#define GPTVQ_CORE_CPU_EM_ASSIGN_H_

#include <cstdint>

#include "core/cpu/em_group.h"

namespace gptvq {

// The E step: assigned_out[n] = argmin_k sum_j w_j[n] (x_j[n] - c_kj)^2, the smallest k on ties, for all
// vectors.stride() entries (the padding gets some index). `slopes` holds -2 w x, laid out as the planes of x: the
// distance without its constant is sum_j c_kj (w_j c_kj + slope_j), 2 d fused operations.
void AssignVectors(const GroupVectors& vectors, const float* slopes, const Centroids& centroids,
                   std::uint8_t* assigned_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_EM_ASSIGN_H_
