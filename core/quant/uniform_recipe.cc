#include "core/quant/uniform_recipe.h"

#include <algorithm>
#include <cstdint>

#include "core/base/status_macros.h"
#include "core/quant/current_weights.h"

namespace gptvq {

absl::StatusOr<UniformQuantizedLinear> RunUniformRecipe(Backend& backend, const PreparedHessian& hessian,
                                                        const QuantSpec& spec, MatrixView<const float> weights,
                                                        Residual& residual) {
  QuantOps& ops = backend.quant();
  const bool with_feedback = spec.method == QuantMethod::kGptq;
  const std::int64_t rows = weights.rows;
  const std::int64_t cols = weights.cols;
  const std::int64_t group = spec.uniform_group_columns;
  const std::int64_t groups = (cols + group - 1) / group;
  GPTVQ_ASSIGN_OR_RETURN(auto targets, DeviceMatrix<float>::Allocate(backend, rows, cols));
  GPTVQ_ASSIGN_OR_RETURN(auto codes, DeviceMatrix<std::uint8_t>::Allocate(backend, rows, cols));
  GPTVQ_ASSIGN_OR_RETURN(auto scales, DeviceMatrix<std::uint16_t>::Allocate(backend, rows, groups));
  GPTVQ_ASSIGN_OR_RETURN(auto zero_points, DeviceMatrix<std::uint8_t>::Allocate(backend, rows, groups));
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(weights, targets.view()));

  // Blocks of one group: its grid is fixed from the current weights when the sweep comes to it, as in GPTQ.
  GPTVQ_ASSIGN_OR_RETURN(CurrentWeights current_weights, CurrentWeights::Make(backend, rows, group));
  for (std::int64_t begin = 0; begin < cols; begin += group) {
    const std::int64_t width = std::min(group, cols - begin);
    const std::int64_t end = begin + width;
    UniformSweepBlock block;
    block.weights = weights.Cols(begin, width);
    block.target = targets.view().Cols(begin, width);
    block.grid_weights = block.weights;
    if (with_feedback) {
      block.feedback = hessian.feedback().Block(begin, begin, width, width);
      GPTVQ_ASSIGN_OR_RETURN(block.grid_weights, current_weights.At(hessian, begin, block.weights, block.target));
    }
    block.error_out = residual.error.view().Cols(begin, width);
    block.bits = spec.uniform_bits;
    block.group_columns = spec.uniform_group_columns;
    block.codes_out = codes.view().Cols(begin, width);
    block.scales_out = scales.view().Cols(begin / group, 1);
    block.zero_points_out = zero_points.view().Cols(begin / group, 1);
    GPTVQ_RETURN_IF_ERROR(ops.SweepUniformColumns(block));
    if (!with_feedback || end == cols) continue;
    GPTVQ_RETURN_IF_ERROR(ops.MatMul(1, block.error_out, Transpose::kNo,
                                     hessian.feedback().Block(begin, end, width, cols - end), Transpose::kNo, 1,
                                     targets.view().Cols(end, cols - end)));
  }
  GPTVQ_RETURN_IF_ERROR(residual.RecomputeGradient(backend, hessian));

  UniformQuantizedLinear linear;
  linear.rows = rows;
  linear.cols = cols;
  linear.bits = spec.uniform_bits;
  linear.group_columns = spec.uniform_group_columns;
  GPTVQ_ASSIGN_OR_RETURN(linear.codes, codes.ToHost(backend));
  GPTVQ_ASSIGN_OR_RETURN(linear.scales, scales.ToHost(backend));
  GPTVQ_ASSIGN_OR_RETURN(linear.zero_points, zero_points.ToHost(backend));
  linear.permutation.assign(hessian.permutation().begin(), hessian.permutation().end());
  return linear;
}

}  // namespace gptvq
