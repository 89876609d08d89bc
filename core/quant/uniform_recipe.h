#ifndef GPTVQ_CORE_QUANT_UNIFORM_RECIPE_H_
#define GPTVQ_CORE_QUANT_UNIFORM_RECIPE_H_

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// The baselines: an asymmetric uniform grid per row and group of columns, rounded to nearest (kRtn), or swept with the
// same error feedback as the vectors (kGptq, which is GPTQ: d = 1 of the block LDL^T form). `weights` [R, C] is backend
// memory with its columns in the order of hessian.permutation(). On return `residual` holds the error in the same order.
absl::StatusOr<UniformQuantizedLinear> RunUniformRecipe(Backend& backend, const PreparedHessian& hessian,
                                                        const QuantSpec& spec, MatrixView<const float> weights,
                                                        Residual& residual);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_UNIFORM_RECIPE_H_
