#include "core/quant/quantize_linear.h"

#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/philox.h"
#include "core/base/status_macros.h"
#include "core/quant/phase_timer.h"
#include "core/quant/reference_recipe.h"
#include "core/quant/residual.h"
#include "core/quant/row_share.h"
#include "core/quant/uniform_recipe.h"
#include "core/quant/vector_recipe.h"
#include "core/spec/group_layout.h"

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

// The loss of leaving everything out, of the whole linear: tr(W H W^T).
absl::StatusOr<double> SignalLoss(Backend& backend, const PreparedHessian& hessian, const RowShare& share,
                                  MatrixView<const float> weights, Residual& scratch) {
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(weights, scratch.error.view()));
  GPTVQ_RETURN_IF_ERROR(scratch.RecomputeGradient(backend, hessian));
  return UndampedLoss(backend, hessian, share, scratch);
}

// What is quantized, and how; borrows.
struct LinearTask {
  std::string_view name;
  MatrixView<const float> weights;
  const QuantSpec& spec;
  std::uint64_t seed;
  const MonotonicClock* clock;
};

// The rows of one rank, and a report of the whole linear.
struct LinearPart {
  QuantizedLinear rows;
  LinearReport report;
};

EmOptions EmOptionsOf(const LinearTask& task) {
  EmOptions em;
  em.max_iterations = task.spec.em_iterations;
  em.seeding = task.spec.seeding;
  em.seed = task.seed;
  em.stream = Philox::StreamOf(task.name);
  em.compatibility = task.spec.compatibility;
  return em;
}

absl::StatusOr<LinearPart> QuantizeRows(Backend& backend, const PreparedHessian& hessian, const LinearTask& task,
                                        const RowShare& share) {
  LinearPart part;
  LinearReport& report = part.report;
  const QuantSpec& spec = task.spec;
  PhaseTimer timer(task.clock);
  const MatrixView<const float> weights = task.weights.Rows(share.rows().begin, share.rows().count());
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> device, Upload(backend, weights, hessian.permutation()));
  GPTVQ_ASSIGN_OR_RETURN(Residual residual, Residual::Allocate(backend, weights.rows, weights.cols));
  GPTVQ_ASSIGN_OR_RETURN(const double signal_loss, SignalLoss(backend, hessian, share, device.view(), residual));
  if (spec.method != QuantMethod::kGptvq) {
    GPTVQ_ASSIGN_OR_RETURN(part.rows, RunUniformRecipe(backend, hessian, spec, device.view(), residual));
    timer.Lap(report.seconds.sweep);
  } else if (spec.compatibility == Compatibility::kReference) {
    GPTVQ_ASSIGN_OR_RETURN(part.rows, RunReferenceRecipe(backend, hessian, spec, EmOptionsOf(task), std::move(device),
                                                         signal_loss, residual, report, timer));
  } else {
    GPTVQ_ASSIGN_OR_RETURN(part.rows, RunVectorRecipe(backend, hessian, spec, EmOptionsOf(task), share,
                                                      std::move(device), signal_loss, residual, report, timer));
  }
  GPTVQ_ASSIGN_OR_RETURN(const double loss, UndampedLoss(backend, hessian, share, residual));
  report.relative_error = RelativeError(loss, signal_loss);
  if (spec.method != QuantMethod::kGptvq) report.sweep_relative_error = report.relative_error;
  return part;
}

bool IsSharedOut(const QuantSpec& spec) {
  return spec.method == QuantMethod::kGptvq && spec.compatibility != Compatibility::kReference &&
         spec.svd_rank_fraction == 0;
}

absl::StatusOr<LinearPart> QuantizeWhole(Backend& backend, const PreparedHessian& hessian, const LinearTask& task) {
  GroupLayout layout;  // of no use to uniform grids
  if (task.spec.method == QuantMethod::kGptvq) {
    GPTVQ_ASSIGN_OR_RETURN(layout, GroupLayout::Make(task.weights.rows, task.weights.cols, task.spec));
  }
  return QuantizeRows(backend, hessian, task, RowShare(Communicator(), {0, task.weights.rows}, layout));
}

absl::StatusOr<LinearPart> QuantizeShares(const Team& team, absl::Span<const PreparedHessian> hessians,
                                          const LinearTask& task) {
  GPTVQ_ASSIGN_OR_RETURN(const GroupLayout layout, GroupLayout::Make(task.weights.rows, task.weights.cols, task.spec));
  const std::vector<IndexRange> shares =
      ShareOutRows(layout.rows(), RowStep(layout, team.lead().row_unit()), team.size());
  std::vector<LinearPart> parts(shares.size());
  GPTVQ_RETURN_IF_ERROR(team.Run(static_cast<int>(shares.size()), [&](const Communicator& ranks) -> absl::Status {
    const int rank = ranks.rank();
    GPTVQ_ASSIGN_OR_RETURN(
        parts[rank], QuantizeRows(team.backend(rank), hessians[rank], task, RowShare(ranks, shares[rank], layout)));
    return absl::OkStatus();
  }));
  if (parts.size() == 1) return std::move(parts.front());
  std::vector<VectorQuantizedLinear> rows;
  for (LinearPart& part : parts) rows.push_back(std::get<VectorQuantizedLinear>(std::move(part.rows)));
  return LinearPart{JoinRows(layout, rows), std::move(parts.front().report)};
}

absl::StatusOr<LinearResult> QuantizeChecked(const Team& team, absl::Span<const PreparedHessian> hessians,
                                             const LinearTask& task) {
  const PreparedHessian& hessian = hessians.front();
  GPTVQ_RETURN_IF_ERROR(CheckArguments(task.weights, hessian, task.spec));
  GPTVQ_ASSIGN_OR_RETURN(LinearPart whole, IsSharedOut(task.spec) ? QuantizeShares(team, hessians, task)
                                                                  : QuantizeWhole(team.lead(), hessian, task));
  LinearResult result{std::move(whole.rows), std::move(whole.report), {}};
  LinearReport& report = result.report;
  report.name = std::string(task.name);
  report.rows = task.weights.rows;
  report.cols = task.weights.cols;
  report.damping = hessian.damping();
  report.hessian_policy = hessian.policy();
  report.dead_columns = static_cast<std::int64_t>(hessian.dead_columns().size());
  report.bits = CountBits(result.linear);
  result.dequantized.resize(static_cast<std::size_t>(report.rows * report.cols));
  Dequantize(result.linear, MatrixView<float>(result.dequantized.data(), report.rows, report.cols));
  return result;
}

}  // namespace

absl::StatusOr<LinearResult> QuantizeLinear(Backend& backend, std::string_view name, MatrixView<const float> weights,
                                            const PreparedHessian& hessian, const QuantSpec& spec, std::uint64_t seed,
                                            const MonotonicClock* clock) {
  return QuantizeLinear(Team(backend), name, weights, absl::MakeConstSpan(&hessian, 1), spec, seed, clock);
}

absl::StatusOr<LinearResult> QuantizeLinear(const Team& team, std::string_view name, MatrixView<const float> weights,
                                            absl::Span<const PreparedHessian> hessians, const QuantSpec& spec,
                                            std::uint64_t seed, const MonotonicClock* clock) {
  GPTVQ_CHECK(std::ssize(hessians) == team.size());
  absl::StatusOr<LinearResult> result = QuantizeChecked(team, hessians, {name, weights, spec, seed, clock});
  if (!result.ok()) return WithContext(result.status(), name);
  return result;
}

}  // namespace gptvq
