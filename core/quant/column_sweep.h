#ifndef GPTVQ_CORE_QUANT_COLUMN_SWEEP_H_
#define GPTVQ_CORE_QUANT_COLUMN_SWEEP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/phase_timer.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"
#include "core/spec/linear_report.h"

namespace gptvq {

// Columns handled in one call of QuantOps::SweepColumns and RefineColumns, before other columns hear of them by products
// (core/quant/by_halves.h).
inline constexpr std::int64_t kBlockColumns = 128;

struct SweepStatistics {
  double loss = 0;  // tr(E H' E^T) of the share's rows, summed up while sweeping: identity (3) of docs/numerics.md
  std::int64_t em_iterations = 0;  // largest over all groups of the linear
};

// The column pass with error feedback, block LDL^T form. Stripe by stripe: block scales, seeding and EM on the current
// weights (core/quant/current_weights.h), codebooks rounded to what is stored, then every vector P from left to right assigned to
//   argmin_k ||(t_P - q_k) V_PP||^2,   t_P = w_P + sum over earlier vectors J of (w_J - q_J) M[J, P],
// w the ORIGINAL weights. H' = M D M^T makes this the exact block solution of the GPTQ recursion without an inverse.
// Stripes, and the blocks of a stripe, feed back by halves (core/quant/by_halves.h).
// Writes codebooks, block scales and assignments of `state`; `scratch` is of the linear's shape, what it holds afterwards is
// of no use. Adds to seconds.clustering and seconds.sweep. Collective over the ranks of state.share.
absl::StatusOr<SweepStatistics> SweepAllColumns(Backend& backend, const PreparedHessian& hessian, EmOptions em,
                                                VectorState& state, Residual& scratch, PhaseTimer& timer,
                                                PhaseSeconds& seconds);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_COLUMN_SWEEP_H_
