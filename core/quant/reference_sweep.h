#ifndef GPTVQ_CORE_QUANT_REFERENCE_SWEEP_H_
#define GPTVQ_CORE_QUANT_REFERENCE_SWEEP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/phase_timer.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/vector_state.h"
#include "core/spec/linear_report.h"

namespace gptvq {

// The column pass of the published code, defects included (core/quant/reference_recipe.h lists them), expressed by the
// matrices that the same operations are given: M' = -diag(1 / U_jj) U as feedback, diag(U_jj^-1/2) as metric factor, and
// errors against the compensated targets. U is formed in f64 on the host. Returns the largest number of EM iterations.
absl::StatusOr<std::int64_t> SweepLikeReference(Backend& backend, const PreparedHessian& hessian, const EmOptions& em,
                                                VectorState& state, PhaseTimer& timer, PhaseSeconds& seconds);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_REFERENCE_SWEEP_H_
