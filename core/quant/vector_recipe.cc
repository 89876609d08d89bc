#include "core/quant/vector_recipe.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/philox.h"
#include "core/base/status_macros.h"
#include "core/quant/codebook_svd.h"
#include "core/quant/codebook_update.h"
#include "core/quant/column_sweep.h"
#include "core/quant/refinement.h"
#include "core/quant/vector_state.h"

namespace gptvq {
namespace {

// Annealing (docs/numerics.md has the measurements behind each number). The temperature is the deviation of the noise in
// units of the square root of the loss per weight; it falls geometrically.
constexpr double kFirstTemperature = 0.35;
constexpr double kLastTemperature = 0.15;
constexpr int kAnnealingSweepsPerBlock = 3;
constexpr int kPassesPerUpdate = 4;
constexpr int kAnnealingUpdateIterations = 2;

// Settling: plain passes until one gains less than this share of the loss.
constexpr int kMaxSettlingPasses = 4;
constexpr double kMinPassGain = 1e-3;
// A conjugate-gradient step that gains less than this share of the loss is the last one.
constexpr double kMinStepGain = 1e-3;

// Rounds of tuning after codebooks have become a product of low rank; ended like settling.
constexpr int kMaxTuningRounds = 4;

class VectorRecipe {
 public:
  VectorRecipe(Backend& backend, const PreparedHessian& hessian, const QuantSpec& spec, const EmOptions& em,
               VectorState& state, Residual& residual, LinearReport& report, PhaseTimer& timer)
      : backend_(backend),
        hessian_(hessian),
        spec_(spec),
        em_(em),
        state_(state),
        residual_(residual),
        report_(report),
        timer_(timer) {}

  absl::Status Sweep(double signal_loss) {
    GPTVQ_ASSIGN_OR_RETURN(const SweepStatistics sweep,
                           SweepAllColumns(backend_, hessian_, em_, state_, residual_, timer_, report_.seconds));
    report_.em_iterations = sweep.em_iterations;
    GPTVQ_RETURN_IF_ERROR(residual_.Recompute(backend_, hessian_, state_));
    GPTVQ_ASSIGN_OR_RETURN(const double loss, UndampedLoss(backend_, hessian_, state_.share, residual_));
    report_.sweep_relative_error = RelativeError(loss, signal_loss);
    timer_.Lap(report_.seconds.sweep);
    GPTVQ_ASSIGN_OR_RETURN(scratch_, Residual::Allocate(backend_, state_.layout.rows(), state_.layout.cols()));
    return absl::OkStatus();
  }

  // At most spec.update_iterations.
  absl::Status Update(std::int64_t max_iterations) {
    max_iterations = std::min<std::int64_t>(max_iterations, spec_.update_iterations);
    if (max_iterations == 0) return absl::OkStatus();
    const auto update = std::holds_alternative<SvdCodebooks>(state_.stored) ? TuneFactors : UpdateCodebooks;
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t own_iterations,
                           update(backend_, hessian_, max_iterations, kMinStepGain, state_, residual_, scratch_));
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t iterations, state_.share.Largest(own_iterations));
    report_.update_iterations += iterations;
    timer_.Lap(report_.seconds.update);
    return absl::OkStatus();
  }

  // The codebooks as a product of low rank from here on: what follows tunes, and assigns vectors to, what is stored.
  absl::Status Compress() {
    if (spec_.svd_rank_fraction == 0) return absl::OkStatus();
    GPTVQ_RETURN_IF_ERROR(CompressCodebooks(backend_, spec_.svd_rank(), state_));
    GPTVQ_RETURN_IF_ERROR(residual_.Recompute(backend_, hessian_, state_));
    timer_.Lap(report_.seconds.update);
    for (int round = 0; round < kMaxTuningRounds; ++round) {
      GPTVQ_ASSIGN_OR_RETURN(const double loss_before, Loss());
      GPTVQ_RETURN_IF_ERROR(Update(spec_.update_iterations));
      GPTVQ_ASSIGN_OR_RETURN(const double loss, Loss());
      if (loss > (1 - kMinPassGain) * loss_before) break;
    }
    return absl::OkStatus();
  }

  // Noisy passes, then plain ones; undone as a whole where the loss did not fall.
  absl::Status Refine() {
    if (spec_.refinement_passes == 0) return absl::OkStatus();
    GPTVQ_ASSIGN_OR_RETURN(const double loss_before, Loss());
    GPTVQ_ASSIGN_OR_RETURN(const Snapshot before, TakeSnapshot());
    GPTVQ_RETURN_IF_ERROR(Anneal());
    GPTVQ_RETURN_IF_ERROR(Settle());
    GPTVQ_ASSIGN_OR_RETURN(const double loss, Loss());
    if (loss < loss_before) return absl::OkStatus();
    report_.refinement_passes = 0;
    return Restore(before);
  }

 private:
  // Stays on the device.
  struct Snapshot {
    DeviceMatrix<std::uint8_t> packed_indices;
    std::vector<float> values;
    StoredCodebooks stored;
  };

  // Of the whole linear: every rank decides alike.
  absl::StatusOr<double> Loss() const { return state_.share.SumOverRows(residual_.row_losses); }

  absl::StatusOr<Snapshot> TakeSnapshot() const {
    Snapshot snapshot;
    GPTVQ_ASSIGN_OR_RETURN(snapshot.packed_indices, state_.PackedIndices(backend_));
    snapshot.values = state_.values;
    snapshot.stored = state_.stored;
    return snapshot;
  }

  absl::Status Restore(const Snapshot& snapshot) {
    state_.values = snapshot.values;
    state_.stored = snapshot.stored;
    GPTVQ_RETURN_IF_ERROR(
        backend_.quant().UnpackAssignments(state_.code(), snapshot.packed_indices.view(), state_.assignments.view()));
    GPTVQ_RETURN_IF_ERROR(
        backend_.CopyBytesFromHost(state_.values.data(), state_.codebooks.view().data, state_.codebooks.bytes()));
    return residual_.Recompute(backend_, hessian_, state_);
  }

  absl::Status Anneal() {
    const Philox keys(em_.seed, Philox::StreamOf("annealing", em_.stream));
    const GroupLayout& linear = state_.share.linear();
    const double weights = static_cast<double>(linear.rows()) * static_cast<double>(linear.cols());
    GPTVQ_ASSIGN_OR_RETURN(const double loss, Loss());
    const double loss_per_weight = loss / weights;
    const int passes = spec_.refinement_passes;
    // Behind the last update nothing forms the gradient anew any more, and without updates nothing ever does.
    const int last_update = spec_.update_iterations > 0 ? passes / kPassesPerUpdate * kPassesPerUpdate : 0;
    for (int pass = 0; pass < passes; ++pass) {
      const double progress = passes > 1 ? static_cast<double>(pass) / (passes - 1) : 1;
      const double temperature = kFirstTemperature * std::pow(kLastTemperature / kFirstTemperature, progress);
      ReassignOptions options;
      options.noise = temperature * temperature * loss_per_weight;
      options.noise_key = keys.Draw(static_cast<std::uint64_t>(pass))[0];
      options.products = pass < last_update ? ReassignProducts::kCoarse : ReassignProducts::kFull;
      options.sweeps_per_block = kAnnealingSweepsPerBlock;
      GPTVQ_RETURN_IF_ERROR(ReassignVectors(backend_, hessian_, options, state_, residual_, scratch_).status());
      ++report_.refinement_passes;
      timer_.Lap(report_.seconds.refinement);
      if ((pass + 1) % kPassesPerUpdate == 0) GPTVQ_RETURN_IF_ERROR(Update(kAnnealingUpdateIterations));
    }
    return absl::OkStatus();
  }

  absl::Status Settle() {
    for (int pass = 0; pass < kMaxSettlingPasses; ++pass) {
      GPTVQ_ASSIGN_OR_RETURN(const double loss_before, Loss());
      GPTVQ_ASSIGN_OR_RETURN(const std::int64_t own_changed,
                             ReassignVectors(backend_, hessian_, ReassignOptions(), state_, residual_, scratch_));
      GPTVQ_ASSIGN_OR_RETURN(const std::int64_t changed, state_.share.Sum(own_changed));
      ++report_.refinement_passes;
      timer_.Lap(report_.seconds.refinement);
      GPTVQ_RETURN_IF_ERROR(Update(kAnnealingUpdateIterations));
      GPTVQ_ASSIGN_OR_RETURN(const double loss, Loss());
      if (changed == 0 || loss > (1 - kMinPassGain) * loss_before) break;
    }
    return absl::OkStatus();
  }

  Backend& backend_;
  const PreparedHessian& hessian_;
  const QuantSpec& spec_;
  const EmOptions& em_;
  VectorState& state_;
  Residual& residual_;
  LinearReport& report_;
  PhaseTimer& timer_;
  Residual scratch_;
};

}  // namespace

absl::StatusOr<VectorRecipeResult> RunVectorRecipe(Backend& backend, const PreparedHessian& hessian,
                                                   const QuantSpec& spec, const EmOptions& em, const RowShare& share,
                                                   DeviceMatrix<float> weights, double signal_loss, Residual& residual,
                                                   LinearReport& report, PhaseTimer& timer) {
  GPTVQ_ASSIGN_OR_RETURN(VectorState state, VectorState::Make(backend, std::move(weights), spec, share));
  {
    // Ends, with its scratch, before memory is asked for to pack the result.
    VectorRecipe recipe(backend, hessian, spec, em, state, residual, report, timer);
    GPTVQ_RETURN_IF_ERROR(recipe.Sweep(signal_loss));
    GPTVQ_RETURN_IF_ERROR(recipe.Update(spec.update_iterations));
    GPTVQ_RETURN_IF_ERROR(recipe.Compress());
    GPTVQ_RETURN_IF_ERROR(recipe.Refine());
  }
  GPTVQ_RETURN_IF_ERROR(residual.Recompute(backend, hessian, state));
  timer.Lap(report.seconds.refinement);
  VectorRecipeResult result;
  GPTVQ_ASSIGN_OR_RETURN(result.linear, state.Release(backend));
  result.assignments = std::move(state.assignments);
  return result;
}

}  // namespace gptvq
