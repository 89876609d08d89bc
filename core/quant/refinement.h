#ifndef GPTVQ_CORE_QUANT_REFINEMENT_H_
#define GPTVQ_CORE_QUANT_REFINEMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"

namespace gptvq {

// One pass of cyclic coordinate descent over the assignments, codebooks and block scales fixed: every vector P in turn,
// all others as they are, gets
//   argmin_k ||q_k - t_P||_{H'_PP},   t_P = q_P - ((Q - W) H')_P H'_PP^-1,
// the exact minimiser of tr(E H' E^T) over that vector. The loss never rises but by rounding. `residual` follows.
// Costs one product of 2 R C^2 operations. Returns the number of vectors that changed.
absl::StatusOr<std::int64_t> ReassignVectors(Backend& backend, const PreparedHessian& hessian, VectorState& state,
                                             Residual& residual);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_REFINEMENT_H_
