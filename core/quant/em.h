#ifndef GPTVQ_CORE_QUANT_EM_H_
#define GPTVQ_CORE_QUANT_EM_H_

#include <vector>

#include "absl/types/span.h"

namespace gptvq {

// The weights of the columns of one stripe in EM: how much an error in the column will cost.
//
// EM itself is QuantOps::ClusterStripe. Per group it minimises sum_n sum_j h_j (x_nj - c_kj)^2 over the vectors n, whose
// centroid is k, and their components j; E step: nearest centroid; M step: weighted means, coordinate by coordinate. The
// right h_j for a column whose error later columns make up for is V_jj^2 (identity (1) of docs/numerics.md).
//
// A few outlier columns can weigh 1e4 times the median and would own the codebooks of their stripe, which the sweep and
// the updates then can not give back. So weights are clipped to kEmWeightRange times the stripe's median from above.
inline constexpr float kEmWeightRange = 1e4f;

// `conditional_weights`: V_jj^2 of the stripe's columns. Returns as many finite numbers > 0.
std::vector<float> EmColumnWeights(absl::Span<const float> conditional_weights);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_EM_H_
