#include "core/quant/refinement.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/by_halves.h"
#include "core/quant/column_sweep.h"

namespace gptvq {
namespace {

class ReassignPass {
 public:
  ReassignPass(Backend& backend, const PreparedHessian& hessian, const ReassignOptions& options, VectorState& state,
               Residual& residual, Residual& scratch)
      : backend_(backend),
        ops_(backend.quant()),
        hessian_(hessian),
        options_(options),
        state_(state),
        residual_(residual),
        change_(scratch.error.view()),
        further_change_(scratch.gradient.view()),
        changed_counts_((state.layout.cols() + kBlockColumns - 1) / kBlockColumns, 0) {}

  absl::StatusOr<std::int64_t> Run() {
    if (options_.noise > 0) {
      for (float h : hessian_.diagonal()) deviations_.push_back(static_cast<float>(std::sqrt(options_.noise * h)));
    }
    const IndexRange blocks = {0, std::ssize(changed_counts_)};
    GPTVQ_RETURN_IF_ERROR(VisitByHalves(
        blocks, [&](std::int64_t block) { return ReassignBlock(block); },
        [&](IndexRange from, IndexRange to) { return Propagate(from, to); }));
    const std::int64_t changed_count = ChangedCount(blocks);
    if (changed_count > 0) GPTVQ_RETURN_IF_ERROR(ops_.Axpby(-1, change_, 1, residual_.error.view()));
    GPTVQ_RETURN_IF_ERROR(residual_.SumRowLosses(backend_));
    return changed_count;
  }

 private:
  IndexRange ColumnsOf(IndexRange blocks) const {
    return {blocks.begin * kBlockColumns, std::min(blocks.end * kBlockColumns, hessian_.cols())};
  }
  std::int64_t ChangedCount(IndexRange blocks) const {
    return std::accumulate(changed_counts_.begin() + blocks.begin, changed_counts_.begin() + blocks.end,
                           std::int64_t{0});
  }

  // Leaves the change of the whole block in change_.
  absl::Status ReassignBlock(std::int64_t index) {
    const IndexRange columns = ColumnsOf({index, index + 1});
    const std::int64_t begin = columns.begin;
    const std::int64_t width = columns.count();
    RefineBlock block;
    block.column_begin = begin;
    block.gradient = residual_.gradient.view().Cols(begin, width);
    block.hessian = hessian_.damped().Block(begin, begin, width, width);
    for (int sweep = 0; sweep < options_.sweeps_per_block; ++sweep) {
      block.change_out = (sweep == 0 ? change_ : further_change_).Cols(begin, width);
      if (!deviations_.empty()) block.noise_deviations = absl::MakeConstSpan(deviations_).subspan(begin, width);
      block.noise_key = NoiseKey(begin, sweep);
      block.first_row = state_.share.rows().begin;
      GPTVQ_ASSIGN_OR_RETURN(
          const std::int64_t changed,
          ops_.RefineColumns(state_.code(), std::as_const(state_.codebooks).view(), block, state_.assignments.view()));
      changed_counts_[index] += changed;
      if (sweep > 0) GPTVQ_RETURN_IF_ERROR(ops_.Axpby(1, block.change_out, 1, change_.Cols(begin, width)));
    }
    return absl::OkStatus();
  }

  // Different for every block and sweep; columns within a block are told apart by the operation.
  std::uint32_t NoiseKey(std::int64_t begin, int sweep) const {
    return options_.noise_key + static_cast<std::uint32_t>(begin) +
           static_cast<std::uint32_t>(sweep) * static_cast<std::uint32_t>(hessian_.cols());
  }

  // Tells the gradient of the blocks `to` what changed in the blocks `from`.
  absl::Status Propagate(IndexRange from, IndexRange to) {
    if (ChangedCount(from) == 0) return absl::OkStatus();
    const IndexRange source = ColumnsOf(from);
    const IndexRange target = ColumnsOf(to);
    const MatrixView<const float> change = change_.Cols(source.begin, source.count());
    const MatrixView<const float> hessian =
        hessian_.damped().Block(source.begin, target.begin, source.count(), target.count());
    const MatrixView<float> gradient = residual_.gradient.view().Cols(target.begin, target.count());
    if (options_.products == ReassignProducts::kCoarse) return ops_.CoarseMatMul(change, hessian, 1, gradient);
    return ops_.MatMul(1, change, Transpose::kNo, hessian, Transpose::kNo, 1, gradient);
  }

  Backend& backend_;
  QuantOps& ops_;
  const PreparedHessian& hessian_;
  const ReassignOptions& options_;
  VectorState& state_;
  Residual& residual_;
  const MatrixView<float> change_;            // [R, C]: of Q, in this pass
  const MatrixView<float> further_change_;    // [R, C]: the same, of one further sweep of a block
  std::vector<std::int64_t> changed_counts_;  // of every block
  std::vector<float> deviations_;             // [C], or empty
};

}  // namespace

absl::StatusOr<std::int64_t> ReassignVectors(Backend& backend, const PreparedHessian& hessian,
                                             const ReassignOptions& options, VectorState& state, Residual& residual,
                                             Residual& scratch) {
  return ReassignPass(backend, hessian, options, state, residual, scratch).Run();
}

}  // namespace gptvq
