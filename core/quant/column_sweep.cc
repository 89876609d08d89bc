#include "core/quant/column_sweep.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/block_scale.h"
#include "core/quant/by_halves.h"
#include "core/quant/current_weights.h"
#include "core/quant/em.h"

namespace gptvq {
namespace {

class ColumnSweep {
 public:
  ColumnSweep(Backend& backend, const PreparedHessian& hessian, EmOptions em, VectorState& state, Residual& scratch,
              PhaseTimer& timer, PhaseSeconds& seconds)
      : backend_(backend),
        ops_(backend.quant()),
        hessian_(hessian),
        em_(em),
        state_(state),
        targets_(scratch.gradient.view()),
        error_(scratch.error.view()),
        timer_(timer),
        seconds_(seconds) {}

  absl::StatusOr<SweepStatistics> Run() {
    const std::vector<Stripe>& stripes = state_.layout.stripes();
    GPTVQ_RETURN_IF_ERROR(backend_.CopyInside(std::as_const(state_.weights).view(), targets_));
    GPTVQ_ASSIGN_OR_RETURN(current_weights_,
                           CurrentWeights::Make(backend_, state_.layout.rows(), stripes.front().column_count));
    const auto columns_of = [&](IndexRange range) -> IndexRange {
      return {stripes[range.begin].column_begin, EndOf(stripes[range.end - 1])};
    };
    GPTVQ_RETURN_IF_ERROR(VisitByHalves(
        {0, std::ssize(stripes)}, [&](std::int64_t i) { return SweepStripe(stripes[i]); },
        [&](IndexRange from, IndexRange to) { return FeedBack(columns_of(from), columns_of(to)); }));
    GPTVQ_ASSIGN_OR_RETURN(statistics_.em_iterations, state_.share.Largest(statistics_.em_iterations));
    return statistics_;
  }

 private:
  static std::int64_t EndOf(const Stripe& stripe) { return stripe.column_begin + stripe.column_count; }
  static MatrixView<const float> ColumnsOf(const Stripe& stripe, MatrixView<const float> matrix) {
    return matrix.Cols(stripe.column_begin, stripe.column_count);
  }

  absl::Status SweepStripe(const Stripe& stripe) {
    GPTVQ_ASSIGN_OR_RETURN(
        const MatrixView<const float> current,
        current_weights_->At(hessian_, stripe.column_begin, ColumnsOf(stripe, std::as_const(state_.weights).view()),
                             ColumnsOf(stripe, targets_)));
    GPTVQ_RETURN_IF_ERROR(ChooseBlockScales(stripe, current));
    GPTVQ_RETURN_IF_ERROR(ChooseCodebooks(stripe, current));
    timer_.Lap(seconds_.clustering);
    const auto columns_of = [&](IndexRange range) -> IndexRange {
      return {stripe.column_begin + range.begin * kBlockColumns,
              std::min(stripe.column_begin + range.end * kBlockColumns, EndOf(stripe))};
    };
    GPTVQ_RETURN_IF_ERROR(VisitByHalves(
        {0, (stripe.column_count + kBlockColumns - 1) / kBlockColumns},
        [&](std::int64_t i) {
          return SweepOneBlock(columns_of({i, i + 1}));
        },
        [&](IndexRange from, IndexRange to) { return FeedBack(columns_of(from), columns_of(to)); }));
    timer_.Lap(seconds_.sweep);
    return absl::OkStatus();
  }

  absl::Status ChooseBlockScales(const Stripe& stripe, MatrixView<const float> current) {
    if (state_.block_scales.block_columns == 0) return absl::OkStatus();
    return FitBlockScales(backend_, state_.share, current, stripe.column_begin, state_.block_scales,
                          state_.scales.view());
  }

  absl::Status ChooseCodebooks(const Stripe& stripe, MatrixView<const float> current) {
    const std::vector<float> column_weights =
        EmColumnWeights(hessian_.conditional_weights().subspan(stripe.column_begin, stripe.column_count));
    EmOptions em = em_;  // random numbers go by the number of a group in the whole linear
    em.stream += static_cast<std::uint64_t>(state_.share.FirstGroup(stripe) - stripe.first_group);
    GPTVQ_ASSIGN_OR_RETURN(const EmResult result, ops_.ClusterStripe(state_.code(), stripe, current, column_weights, em,
                                                                     state_.codebooks.view()));
    statistics_.em_iterations = std::max(statistics_.em_iterations, result.iterations);
    return state_.RoundDeviceCodebooks(backend_, stripe.first_group, stripe.row_block_count);
  }

  absl::Status SweepOneBlock(IndexRange columns) {
    const std::int64_t begin = columns.begin;
    const std::int64_t width = columns.count();
    SweepBlock block;
    block.column_begin = begin;
    block.weights = std::as_const(state_.weights).view().Cols(begin, width);
    block.target = targets_.Cols(begin, width);
    block.feedback = hessian_.feedback().Block(begin, begin, width, width);
    block.metric_factor = hessian_.factor().Block(begin, begin, width, width);
    block.error_out = error_.Cols(begin, width);
    GPTVQ_ASSIGN_OR_RETURN(const double loss, ops_.SweepColumns(state_.code(), std::as_const(state_.codebooks).view(),
                                                                block, state_.assignments.view()));
    statistics_.loss += loss;
    return absl::OkStatus();
  }

  // Adds to later targets what the errors of swept columns feed back; earlier columns hear nothing.
  absl::Status FeedBack(IndexRange from, IndexRange to) {
    if (to.begin < from.begin) return absl::OkStatus();
    return ops_.MatMul(1, error_.Cols(from.begin, from.count()), Transpose::kNo,
                       hessian_.feedback().Block(from.begin, to.begin, from.count(), to.count()), Transpose::kNo, 1,
                       targets_.Cols(to.begin, to.count()));
  }

  Backend& backend_;
  QuantOps& ops_;
  const PreparedHessian& hessian_;
  const EmOptions em_;
  VectorState& state_;
  const MatrixView<float> targets_;  // [R, C]: W plus the feedback of the columns swept so far, as far as it was told
  const MatrixView<float> error_;    // [R, C]: of the columns swept so far
  PhaseTimer& timer_;
  PhaseSeconds& seconds_;
  std::optional<CurrentWeights> current_weights_;
  SweepStatistics statistics_;
};

}  // namespace

absl::StatusOr<SweepStatistics> SweepAllColumns(Backend& backend, const PreparedHessian& hessian, EmOptions em,
                                                VectorState& state, Residual& scratch, PhaseTimer& timer,
                                                PhaseSeconds& seconds) {
  return ColumnSweep(backend, hessian, em, state, scratch, timer, seconds).Run();
}

}  // namespace gptvq
