#include "core/quant/refinement.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/column_sweep.h"

namespace gptvq {
namespace {

class ReassignPass {
 public:
  ReassignPass(Backend& backend, const PreparedHessian& hessian, const ReassignOptions& options, VectorState& state,
               Residual& residual)
      : ops_(backend.quant()), hessian_(hessian), options_(options), state_(state), residual_(residual) {}

  absl::StatusOr<std::int64_t> Run(Backend& backend) {
    const std::int64_t rows = state_.layout.rows();
    const std::int64_t cols = state_.layout.cols();
    GPTVQ_ASSIGN_OR_RETURN(change_, DeviceMatrix<float>::Allocate(backend, rows, kBlockColumns));
    if (options_.sweeps_per_block > 1) {
      GPTVQ_ASSIGN_OR_RETURN(further_change_, DeviceMatrix<float>::Allocate(backend, rows, kBlockColumns));
    }
    if (options_.noise > 0) {
      for (float h : hessian_.diagonal()) deviations_.push_back(static_cast<float>(std::sqrt(options_.noise * h)));
    }
    std::int64_t changed_count = 0;
    for (std::int64_t begin = 0; begin < cols; begin += kBlockColumns) {
      const std::int64_t width = std::min(kBlockColumns, cols - begin);
      GPTVQ_ASSIGN_OR_RETURN(const std::int64_t changed, ReassignBlock(begin, width));
      if (changed > 0) GPTVQ_RETURN_IF_ERROR(Propagate(begin, width));
      changed_count += changed;
    }
    GPTVQ_RETURN_IF_ERROR(residual_.SumRowLosses(backend));
    return changed_count;
  }

 private:
  // Leaves the change of the whole block in change_.
  absl::StatusOr<std::int64_t> ReassignBlock(std::int64_t begin, std::int64_t width) {
    RefineBlock block;
    block.column_begin = begin;
    block.gradient = residual_.gradient.view().Cols(begin, width);
    block.hessian = hessian_.damped().Block(begin, begin, width, width);
    std::int64_t changed_count = 0;
    for (int sweep = 0; sweep < options_.sweeps_per_block; ++sweep) {
      block.change_out = (sweep == 0 ? change_ : further_change_).view().Cols(0, width);
      if (!deviations_.empty()) block.noise_deviations = absl::MakeConstSpan(deviations_).subspan(begin, width);
      block.noise_key = NoiseKey(begin, sweep);
      GPTVQ_ASSIGN_OR_RETURN(
          const std::int64_t changed,
          ops_.RefineColumns(state_.code(), std::as_const(state_.codebooks).view(), block, state_.assignments.view()));
      changed_count += changed;
      if (sweep > 0) GPTVQ_RETURN_IF_ERROR(ops_.Axpby(1, block.change_out, 1, change_.view().Cols(0, width)));
    }
    return changed_count;
  }

  // Different for every block and sweep; columns within a block are told apart by the operation.
  std::uint32_t NoiseKey(std::int64_t begin, int sweep) const {
    return options_.noise_key + static_cast<std::uint32_t>(begin) +
           static_cast<std::uint32_t>(sweep) * static_cast<std::uint32_t>(hessian_.cols());
  }

  // Tells the error, and the gradient of all other columns, of the block's change.
  absl::Status Propagate(std::int64_t begin, std::int64_t width) {
    const std::int64_t end = begin + width;
    const std::int64_t later = hessian_.cols() - end;
    const MatrixView<const float> change = std::as_const(change_).view().Cols(0, width);
    GPTVQ_RETURN_IF_ERROR(ops_.Axpby(-1, change, 1, residual_.error.view().Cols(begin, width)));
    if (begin > 0) {
      GPTVQ_RETURN_IF_ERROR(ops_.MatMul(1, change, Transpose::kNo, hessian_.damped().Block(begin, 0, width, begin),
                                        Transpose::kNo, 1, residual_.gradient.view().Cols(0, begin)));
    }
    if (later == 0) return absl::OkStatus();
    return ops_.MatMul(1, change, Transpose::kNo, hessian_.damped().Block(begin, end, width, later), Transpose::kNo, 1,
                       residual_.gradient.view().Cols(end, later));
  }

  QuantOps& ops_;
  const PreparedHessian& hessian_;
  const ReassignOptions& options_;
  VectorState& state_;
  Residual& residual_;
  DeviceMatrix<float> change_;          // [R, kBlockColumns]
  DeviceMatrix<float> further_change_;  // the same, of one further sweep
  std::vector<float> deviations_;       // [C], or empty
};

}  // namespace

absl::StatusOr<std::int64_t> ReassignVectors(Backend& backend, const PreparedHessian& hessian,
                                             const ReassignOptions& options, VectorState& state, Residual& residual) {
  return ReassignPass(backend, hessian, options, state, residual).Run(backend);
}

}  // namespace gptvq
