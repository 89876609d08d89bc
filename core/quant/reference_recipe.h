#ifndef GPTVQ_CORE_QUANT_REFERENCE_RECIPE_H_
#define GPTVQ_CORE_QUANT_REFERENCE_RECIPE_H_

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/phase_timer.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// The recipe with Compatibility::kReference: what the code published with the paper does, for comparisons. U is the upper
// Cholesky factor of the inverse, U = V^-1. It differs from the default recipe on purpose in this (docs/numerics.md):
//   EM weights are U_jj, or none for d = 1; block scales do not enter them; empty cells become the zero vector;
//   vectors are looked up with weights 1 / U_jj and errors propagated as if U_PP were diagonal;
//   with block scales, a block of 128 columns is looked up in its targets before any feedback from inside the block, and
//   its scales are taken anew at its begin;
//   the codebook update is 25 steps of Adam at a rate of 1e-3, undamped H, whose outcome is kept even if it is worse;
//   weights of columns with a zero Hessian diagonal are set to zero; there is no refinement.
// Two things are mended because nobody could compare otherwise: restarts of Adam are bounded, and no NaN is made.
// Arguments as RunVectorRecipe.
absl::StatusOr<VectorQuantizedLinear> RunReferenceRecipe(Backend& backend, const PreparedHessian& hessian,
                                                         const QuantSpec& spec, const EmOptions& em,
                                                         DeviceMatrix<float> weights, double signal_loss,
                                                         Residual& residual, LinearReport& report, PhaseTimer& timer);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_REFERENCE_RECIPE_H_
