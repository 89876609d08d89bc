#include "core/quant/reference_recipe.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/reference_sweep.h"
#include "core/quant/vector_state.h"

namespace gptvq {
namespace {

constexpr int kAdamSteps = 25;
constexpr int kMaxRestarts = 10;
constexpr double kAdamRate = 1e-3;
constexpr double kRestartFactor = 0.1;
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;

absl::Status ZeroColumns(Backend& backend, absl::Span<const std::int64_t> columns, MatrixView<float> weights) {
  const std::vector<float> zeros(static_cast<std::size_t>(weights.rows), 0);
  for (std::int64_t c : columns) {
    const TensorView column(weights.data + c, DType::kF32, weights.rows, 1, weights.stride);
    GPTVQ_RETURN_IF_ERROR(backend.CopyFromHost(MatrixView<const float>(zeros.data(), weights.rows, 1), column));
  }
  return absl::OkStatus();
}

absl::StatusOr<DeviceMatrix<float>> UndampedHessian(Backend& backend, const PreparedHessian& hessian) {
  const std::int64_t cols = hessian.cols();
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> matrix, DeviceMatrix<float>::Allocate(backend, cols, cols));
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(hessian.damped(), matrix.view()));
  std::vector<float> diagonal(hessian.diagonal().begin(), hessian.diagonal().end());
  for (float& element : diagonal) element = static_cast<float>(element - hessian.lambda());
  const TensorView view(matrix.view().data, DType::kF32, cols, 1, cols + 1);
  GPTVQ_RETURN_IF_ERROR(backend.CopyFromHost(MatrixView<const float>(diagonal.data(), cols, 1), view));
  return matrix;
}

// Full-batch Adam on the codebooks of the layer.
class AdamUpdate {
 public:
  AdamUpdate(Backend& backend, VectorState& state, Residual& scratch)
      : backend_(backend), state_(state), scratch_(scratch) {}

  absl::Status Run(const PreparedHessian& hessian) {
    GPTVQ_ASSIGN_OR_RETURN(undamped_, UndampedHessian(backend_, hessian));
    GPTVQ_ASSIGN_OR_RETURN(
        sums_, DeviceMatrix<float>::Allocate(backend_, state_.layout.group_count(), state_.entries_per_codebook()));
    const std::vector<float> start = state_.values;
    double rate = kAdamRate;
    for (int restart = 0; restart <= kMaxRestarts; ++restart, rate *= kRestartFactor) {
      GPTVQ_ASSIGN_OR_RETURN(const bool finished, RunSteps(rate));
      if (finished) break;
      state_.values = start;
      GPTVQ_RETURN_IF_ERROR(CopyToDevice());
    }
    return state_.RoundCodebooks(backend_, 0, state_.layout.group_count());
  }

  std::int64_t iterations() const { return iterations_; }

 private:
  // False when the loss rose above where it started; the last step goes unchecked, as in the reference.
  absl::StatusOr<bool> RunSteps(double rate) {
    std::vector<double> mean(state_.values.size(), 0);
    std::vector<double> variance(state_.values.size(), 0);
    double start_loss = 0;
    for (int step = 1; step <= kAdamSteps; ++step) {
      GPTVQ_ASSIGN_OR_RETURN(const double loss, EvaluateGradient());
      if (step == 1) start_loss = loss;
      if (!(loss <= start_loss)) return false;
      GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> gradient, sums_.ToHost(backend_));
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        const double g = 2.0 * gradient[i];
        mean[i] = kBeta1 * mean[i] + (1 - kBeta1) * g;
        variance[i] = kBeta2 * variance[i] + (1 - kBeta2) * g * g;
        const double corrected = std::sqrt(variance[i] / (1 - std::pow(kBeta2, step))) + kEpsilon;
        state_.values[i] -= static_cast<float>(rate * mean[i] / (1 - std::pow(kBeta1, step)) / corrected);
      }
      GPTVQ_RETURN_IF_ERROR(CopyToDevice());
      ++iterations_;
    }
    return true;
  }

  // Sums of the gradient into sums_; the loss with the undamped H.
  absl::StatusOr<double> EvaluateGradient() {
    QuantOps& ops = backend_.quant();
    GPTVQ_RETURN_IF_ERROR(ops.DecodeVectors(state_.code(), std::as_const(state_.codebooks).view(),
                                            std::as_const(state_.assignments).view(), scratch_.error.view()));
    GPTVQ_RETURN_IF_ERROR(ops.Axpby(1, std::as_const(state_.weights).view(), -1, scratch_.error.view()));
    GPTVQ_RETURN_IF_ERROR(ops.MatMul(-1, scratch_.error.view(), Transpose::kNo, undamped_.view(), Transpose::kNo, 0,
                                     scratch_.gradient.view()));
    GPTVQ_RETURN_IF_ERROR(scratch_.SumRowLosses(backend_));
    GPTVQ_RETURN_IF_ERROR(ops.AccumulateCentroidSums(state_.code(), std::as_const(state_.assignments).view(),
                                                     scratch_.gradient.view(), sums_.view()));
    return scratch_.Loss();
  }

  absl::Status CopyToDevice() {
    return backend_.CopyBytesFromHost(state_.values.data(), state_.codebooks.view().data, state_.codebooks.bytes());
  }

  Backend& backend_;
  VectorState& state_;
  Residual& scratch_;
  DeviceMatrix<float> undamped_;
  DeviceMatrix<float> sums_;
  std::int64_t iterations_ = 0;
};

}  // namespace

absl::StatusOr<VectorQuantizedLinear> RunReferenceRecipe(Backend& backend, const PreparedHessian& hessian,
                                                         const QuantSpec& spec, const EmOptions& em,
                                                         DeviceMatrix<float> weights, double signal_loss,
                                                         Residual& residual, LinearReport& report, PhaseTimer& timer) {
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> original,
                         DeviceMatrix<float>::Allocate(backend, weights.rows(), weights.cols()));
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(weights.view(), original.view()));
  GPTVQ_RETURN_IF_ERROR(ZeroColumns(backend, hessian.dead_columns(), weights.view()));
  GPTVQ_ASSIGN_OR_RETURN(VectorState state, VectorState::Make(backend, std::move(weights), spec));
  GPTVQ_ASSIGN_OR_RETURN(report.em_iterations, SweepLikeReference(backend, hessian, em, state, timer, report.seconds));
  GPTVQ_RETURN_IF_ERROR(residual.Recompute(backend, hessian, state));
  GPTVQ_ASSIGN_OR_RETURN(const double loss_after_sweep, UndampedLoss(backend, hessian, state.share, residual));
  report.sweep_relative_error = RelativeError(loss_after_sweep, signal_loss);
  timer.Lap(report.seconds.sweep);
  if (spec.update_iterations > 0) {
    AdamUpdate update(backend, state, residual);
    GPTVQ_RETURN_IF_ERROR(update.Run(hessian));
    report.update_iterations = update.iterations();
  }
  state.weights = std::move(original);
  GPTVQ_RETURN_IF_ERROR(residual.Recompute(backend, hessian, state));
  timer.Lap(report.seconds.update);
  return state.Release(backend);
}

}  // namespace gptvq
