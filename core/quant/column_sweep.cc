#include "core/quant/column_sweep.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/block_scale.h"
#include "core/quant/current_weights.h"
#include "core/quant/em.h"

namespace gptvq {
namespace {

class ColumnSweep {
 public:
  ColumnSweep(Backend& backend, const PreparedHessian& hessian, EmOptions em, VectorState& state)
      : backend_(backend), ops_(backend.quant()), hessian_(hessian), em_(em), state_(state) {}

  absl::StatusOr<SweepStatistics> Run(PhaseTimer& timer, PhaseSeconds& seconds) {
    const MatrixView<const float> weights = std::as_const(state_.weights).view();
    GPTVQ_ASSIGN_OR_RETURN(targets_, DeviceMatrix<float>::Allocate(backend_, weights.rows, weights.cols));
    GPTVQ_ASSIGN_OR_RETURN(error_, DeviceMatrix<float>::Allocate(backend_, weights.rows, kBlockColumns));
    GPTVQ_RETURN_IF_ERROR(backend_.CopyInside(weights, targets_.view()));
    GPTVQ_ASSIGN_OR_RETURN(CurrentWeights current_weights,
                           CurrentWeights::Make(backend_, weights.rows, state_.layout.stripes().front().column_count));
    for (const Stripe& stripe : state_.layout.stripes()) {
      GPTVQ_ASSIGN_OR_RETURN(const MatrixView<const float> current,
                             current_weights.At(hessian_, stripe.column_begin, ColumnsOf(stripe, weights),
                                                ColumnsOf(stripe, std::as_const(targets_).view())));
      GPTVQ_RETURN_IF_ERROR(ChooseBlockScales(stripe, current));
      GPTVQ_RETURN_IF_ERROR(ChooseCodebooks(stripe, current));
      timer.Lap(seconds.clustering);
      const std::int64_t end = stripe.column_begin + stripe.column_count;
      for (std::int64_t begin = stripe.column_begin; begin < end; begin += kBlockColumns) {
        GPTVQ_RETURN_IF_ERROR(SweepOneBlock(begin, std::min(kBlockColumns, end - begin)));
      }
      timer.Lap(seconds.sweep);
    }
    return statistics_;
  }

 private:
  static MatrixView<const float> ColumnsOf(const Stripe& stripe, MatrixView<const float> matrix) {
    return matrix.Cols(stripe.column_begin, stripe.column_count);
  }

  absl::Status ChooseBlockScales(const Stripe& stripe, MatrixView<const float> current) {
    if (state_.block_scales.block_columns == 0) return absl::OkStatus();
    return FitBlockScales(backend_, current, stripe.column_begin, state_.block_scales, state_.scales.view());
  }

  absl::Status ChooseCodebooks(const Stripe& stripe, MatrixView<const float> current) {
    const std::vector<float> column_weights =
        EmColumnWeights(hessian_.conditional_weights().subspan(stripe.column_begin, stripe.column_count));
    GPTVQ_ASSIGN_OR_RETURN(const EmResult result, ops_.ClusterStripe(state_.code(), stripe, current, column_weights,
                                                                     em_, state_.codebooks.view()));
    statistics_.em_iterations = std::max(statistics_.em_iterations, result.iterations);
    return state_.RoundDeviceCodebooks(backend_, stripe.first_group, stripe.row_block_count);
  }

  absl::Status SweepOneBlock(std::int64_t begin, std::int64_t width) {
    const std::int64_t end = begin + width;
    const std::int64_t later = state_.layout.cols() - end;
    const MatrixView<float> error = error_.view().Cols(0, width);
    SweepBlock block;
    block.column_begin = begin;
    block.weights = std::as_const(state_.weights).view().Cols(begin, width);
    block.target = targets_.view().Cols(begin, width);
    block.feedback = hessian_.feedback().Block(begin, begin, width, width);
    block.metric_factor = hessian_.factor().Block(begin, begin, width, width);
    block.error_out = error;
    GPTVQ_ASSIGN_OR_RETURN(const double loss, ops_.SweepColumns(state_.code(), std::as_const(state_.codebooks).view(),
                                                                block, state_.assignments.view()));
    statistics_.loss += loss;
    if (later == 0) return absl::OkStatus();
    return ops_.MatMul(1, error, Transpose::kNo, hessian_.feedback().Block(begin, end, width, later), Transpose::kNo, 1,
                       targets_.view().Cols(end, later));
  }

  Backend& backend_;
  QuantOps& ops_;
  const PreparedHessian& hessian_;
  const EmOptions em_;
  VectorState& state_;
  DeviceMatrix<float> targets_;  // [R, C]: W plus the feedback of all columns swept so far
  DeviceMatrix<float> error_;    // [R, kBlockColumns]
  SweepStatistics statistics_;
};

}  // namespace

absl::StatusOr<SweepStatistics> SweepAllColumns(Backend& backend, const PreparedHessian& hessian, EmOptions em,
                                                VectorState& state, PhaseTimer& timer, PhaseSeconds& seconds) {
  return ColumnSweep(backend, hessian, em, state).Run(timer, seconds);
}

}  // namespace gptvq
