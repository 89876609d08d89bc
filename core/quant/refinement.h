#ifndef GPTVQ_CORE_QUANT_REFINEMENT_H_
#define GPTVQ_CORE_QUANT_REFINEMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"

namespace gptvq {

// How exactly the rest of the row hears of what changed.
enum class ReassignProducts {
  kFull,  // as the losses are computed
  kCoarse,  // to a few bits (QuantOps::CoarseMatMul), far below the noise: the gradient has to be formed anew before anything
            // is decided by the losses
};

struct ReassignOptions {
  // Noise on the gradient: its standard deviation at column j is sqrt(noise * H'_jj), which moves the target of a weight
  // by what costs `noise` on the average. 0: plain coordinate descent.
  double noise = 0;
  std::uint32_t noise_key = 0;
  ReassignProducts products = ReassignProducts::kFull;
  int sweeps_per_block = 1;  // how often a block of columns is gone through before the rest of the row hears of it
};

// One pass of cyclic coordinate descent over the assignments, codebooks and block scales fixed: every vector P in turn,
// all others as they are, gets
//   argmin_k ||q_k - t_P||_{H'_PP},   t_P = q_P - (((Q - W) H')_P + noise) H'_PP^-1,
// without noise the exact minimiser of tr(E H' E^T) over that vector; then the loss never rises but by rounding.
// `residual` follows; `scratch` is of its shape, what it holds afterwards is of no use. Costs products of 2 R C^2 operations
// in all, by halves (core/quant/by_halves.h). Returns how many times a vector changed.
absl::StatusOr<std::int64_t> ReassignVectors(Backend& backend, const PreparedHessian& hessian,
                                             const ReassignOptions& options, VectorState& state, Residual& residual,
                                             Residual& scratch);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_REFINEMENT_H_
