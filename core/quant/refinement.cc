#include "core/quant/refinement.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/quant/column_sweep.h"

namespace gptvq {

absl::StatusOr<std::int64_t> ReassignVectors(Backend& backend, const PreparedHessian& hessian, VectorState& state,
                                             Residual& residual) {
  QuantOps& ops = backend.quant();
  const std::int64_t rows = state.layout.rows();
  const std::int64_t cols = state.layout.cols();
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> change, DeviceMatrix<float>::Allocate(backend, rows, kBlockColumns));
  std::int64_t changed_count = 0;
  for (std::int64_t begin = 0; begin < cols; begin += kBlockColumns) {
    const std::int64_t width = std::min(kBlockColumns, cols - begin);
    const std::int64_t end = begin + width;
    RefineBlock block;
    block.column_begin = begin;
    block.gradient = residual.gradient.view().Cols(begin, width);
    block.hessian = hessian.damped().Block(begin, begin, width, width);
    block.change_out = change.view().Cols(0, width);
    GPTVQ_ASSIGN_OR_RETURN(
        const std::int64_t changed,
        ops.RefineColumns(state.code(), std::as_const(state.codebooks).view(), block, state.assignments.view()));
    changed_count += changed;
    if (changed == 0) continue;
    GPTVQ_RETURN_IF_ERROR(ops.Axpby(-1, block.change_out, 1, residual.error.view().Cols(begin, width)));
    if (begin > 0) {
      GPTVQ_RETURN_IF_ERROR(ops.MatMul(1, block.change_out, Transpose::kNo, hessian.damped().Block(begin, 0, width, begin),
                                       Transpose::kNo, 1, residual.gradient.view().Cols(0, begin)));
    }
    if (end < cols) {
      GPTVQ_RETURN_IF_ERROR(ops.MatMul(1, block.change_out, Transpose::kNo,
                                       hessian.damped().Block(begin, end, width, cols - end), Transpose::kNo, 1,
                                       residual.gradient.view().Cols(end, cols - end)));
    }
  }
  GPTVQ_RETURN_IF_ERROR(residual.SumRowLosses(backend));
  return changed_count;
}

}  // namespace gptvq
