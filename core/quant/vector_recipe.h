#ifndef GPTVQ_CORE_QUANT_VECTOR_RECIPE_H_
#define GPTVQ_CORE_QUANT_VECTOR_RECIPE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/quant/phase_timer.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// The finished linear, and its assignments where they were made, in backend memory.
struct VectorRecipeResult {
  VectorQuantizedLinear linear;
  DeviceMatrix<std::uint8_t> assignments;
};

// The default recipe for kGptvq: sweep, codebook update, refinement passes (re-assignment plus update) until they gain
// nothing more. `weights` [R, C] is backend memory and holds the rows of `share`, and so does the result; every rank of the
// share takes the same decisions. Collective. On return `residual` holds the final error of these rows; the report has
// counts, seconds and, from `signal_loss` = tr(W H W^T) of the whole linear, sweep_relative_error.
absl::StatusOr<VectorRecipeResult> RunVectorRecipe(Backend& backend, const PreparedHessian& hessian,
                                                   const QuantSpec& spec, const EmOptions& em, const RowShare& share,
                                                   DeviceMatrix<float> weights, double signal_loss, Residual& residual,
                                                   LinearReport& report, PhaseTimer& timer);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_VECTOR_RECIPE_H_
