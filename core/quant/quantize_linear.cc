#include "core/quant/quantize_linear.h"

#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/philox.h"
#include "core/base/status_macros.h"
#include "core/quant/phase_timer.h"
#include "core/quant/reference_recipe.h"
#include "core/quant/residual.h"
#include "core/quant/uniform_recipe.h"
#include "core/quant/vector_recipe.h"
#include "core/quant/vector_state.h"

namespace gptvq {
namespace {

absl::Status CheckFinite(MatrixView<const float> weights) {
  for (std::int64_t r = 0; r < weights.rows; ++r) {
    for (std::int64_t c = 0; c < weights.cols; ++c) {
      if (std::isfinite(weights.at(r, c))) continue;
      return absl::InvalidArgumentError(absl::StrCat("the weight at row ", r, ", column ", c, " is ", weights.at(r, c),
                                                     "; a broken checkpoint can not be quantized"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckArguments(MatrixView<const float> weights, const PreparedHessian& hessian, const QuantSpec& spec) {
  GPTVQ_RETURN_IF_ERROR(spec.Validate());
  if (weights.cols != hessian.cols()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the linear has ", weights.cols, " inputs, its Hessian ", hessian.cols()));
  }
  const int vector_dim = spec.method == QuantMethod::kGptvq ? spec.vector_dim : 1;
  if (vector_dim != hessian.vector_dim() || spec.act_order != !hessian.permutation().empty()) {
    return absl::InvalidArgumentError("the Hessian was prepared for another spec");
  }
  return CheckFinite(weights);
}

// The weights in backend memory, their columns in the order of the Hessian's.
absl::StatusOr<DeviceMatrix<float>> Upload(Backend& backend, MatrixView<const float> weights,
                                           absl::Span<const std::int32_t> permutation) {
  std::vector<float> values(static_cast<std::size_t>(weights.rows * weights.cols));
  for (std::int64_t r = 0; r < weights.rows; ++r) {
    for (std::int64_t c = 0; c < weights.cols; ++c) {
      values[r * weights.cols + c] = weights.at(r, permutation.empty() ? c : permutation[c]);
    }
  }
  return DeviceMatrix<float>::FromHost(backend, values.data(), weights.rows, weights.cols);
}

// The loss of leaving everything out: tr(W H W^T).
absl::StatusOr<double> SignalLoss(Backend& backend, const PreparedHessian& hessian, MatrixView<const float> weights,
                                  Residual& scratch) {
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(weights, scratch.error.view()));
  GPTVQ_RETURN_IF_ERROR(scratch.RecomputeGradient(backend, hessian));
  return UndampedLoss(backend, hessian, scratch);
}

absl::StatusOr<LinearResult> QuantizeChecked(Backend& backend, std::string_view name, MatrixView<const float> weights,
                                             const PreparedHessian& hessian, const QuantSpec& spec, std::uint64_t seed,
                                             const MonotonicClock* clock) {
  GPTVQ_RETURN_IF_ERROR(CheckArguments(weights, hessian, spec));
  LinearResult result;
  LinearReport& report = result.report;
  report.name = std::string(name);
  report.rows = weights.rows;
  report.cols = weights.cols;
  report.damping = hessian.damping();
  report.hessian_policy = hessian.policy();
  report.dead_columns = static_cast<std::int64_t>(hessian.dead_columns().size());

  PhaseTimer timer(clock);
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> device, Upload(backend, weights, hessian.permutation()));
  GPTVQ_ASSIGN_OR_RETURN(Residual residual, Residual::Allocate(backend, weights.rows, weights.cols));
  GPTVQ_ASSIGN_OR_RETURN(const double signal_loss, SignalLoss(backend, hessian, device.view(), residual));
  if (spec.method == QuantMethod::kGptvq) {
    EmOptions em;
    em.max_iterations = spec.em_iterations;
    em.seeding = spec.seeding;
    em.seed = seed;
    em.stream = Philox::StreamOf(name);
    em.compatibility = spec.compatibility;
    const auto recipe = spec.compatibility == Compatibility::kReference ? RunReferenceRecipe : RunVectorRecipe;
    GPTVQ_ASSIGN_OR_RETURN(result.linear,
                           recipe(backend, hessian, spec, em, std::move(device), signal_loss, residual, report, timer));
  } else {
    GPTVQ_ASSIGN_OR_RETURN(result.linear, RunUniformRecipe(backend, hessian, spec, device.view(), residual));
    timer.Lap(report.seconds.sweep);
  }
  GPTVQ_ASSIGN_OR_RETURN(const double loss, UndampedLoss(backend, hessian, residual));
  report.relative_error = RelativeError(loss, signal_loss);
  if (spec.method != QuantMethod::kGptvq) report.sweep_relative_error = report.relative_error;
  report.bits = CountBits(result.linear);
  result.dequantized.resize(static_cast<std::size_t>(weights.rows * weights.cols));
  Dequantize(result.linear, MatrixView<float>(result.dequantized.data(), weights.rows, weights.cols));
  return result;
}

}  // namespace

absl::StatusOr<LinearResult> QuantizeLinear(Backend& backend, std::string_view name, MatrixView<const float> weights,
                                            const PreparedHessian& hessian, const QuantSpec& spec, std::uint64_t seed,
                                            const MonotonicClock* clock) {
  absl::StatusOr<LinearResult> result = QuantizeChecked(backend, name, weights, hessian, spec, seed, clock);
  if (!result.ok()) return WithContext(result.status(), name);
  return result;
}

}  // namespace gptvq
