#include "core/quant/vector_recipe.h"

#include <cstdint>
#include <utility>

#include "core/base/status_macros.h"
#include "core/quant/codebook_update.h"
#include "core/quant/column_sweep.h"
#include "core/quant/refinement.h"
#include "core/quant/vector_state.h"

namespace gptvq {
namespace {

// A conjugate-gradient step, or a whole refinement pass, that gains less than this share of the loss is the last one.
constexpr double kMinStepGain = 1e-3;
constexpr double kMinPassGain = 1e-3;

}  // namespace

absl::StatusOr<VectorQuantizedLinear> RunVectorRecipe(Backend& backend, const PreparedHessian& hessian,
                                                      const QuantSpec& spec, const EmOptions& em,
                                                      DeviceMatrix<float> weights, double signal_loss,
                                                      Residual& residual, LinearReport& report, PhaseTimer& timer) {
  GPTVQ_ASSIGN_OR_RETURN(VectorState state, VectorState::Make(backend, std::move(weights), spec));
  GPTVQ_ASSIGN_OR_RETURN(const SweepStatistics sweep,
                         SweepAllColumns(backend, hessian, em, state, timer, report.seconds));
  report.em_iterations = sweep.em_iterations;
  GPTVQ_RETURN_IF_ERROR(residual.Recompute(backend, hessian, state));
  GPTVQ_ASSIGN_OR_RETURN(const double loss_after_sweep, UndampedLoss(backend, hessian, residual));
  report.sweep_relative_error = RelativeError(loss_after_sweep, signal_loss);
  timer.Lap(report.seconds.sweep);

  GPTVQ_ASSIGN_OR_RETURN(Residual scratch, Residual::Allocate(backend, state.layout.rows(), state.layout.cols()));
  const auto update = [&]() -> absl::Status {
    if (spec.update_iterations == 0) return absl::OkStatus();
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t iterations, UpdateCodebooks(backend, hessian, spec.update_iterations,
                                                                          kMinStepGain, state, residual, scratch));
    report.update_iterations += iterations;
    timer.Lap(report.seconds.update);
    return absl::OkStatus();
  };
  GPTVQ_RETURN_IF_ERROR(update());
  for (int pass = 0; pass < spec.refinement_passes; ++pass) {
    const double loss_before = residual.Loss();
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t changed, ReassignVectors(backend, hessian, state, residual));
    timer.Lap(report.seconds.refinement);
    if (changed == 0) break;
    ++report.refinement_passes;
    GPTVQ_RETURN_IF_ERROR(update());
    if (residual.Loss() > (1 - kMinPassGain) * loss_before) break;
  }
  GPTVQ_RETURN_IF_ERROR(residual.Recompute(backend, hessian, state));
  timer.Lap(report.seconds.refinement);
  return std::move(state).Release(backend);
}

}  // namespace gptvq
