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

absl::Status CheckArguments(const LinearWeights& weights, const PreparedHessian& hessian, const QuantSpec& spec) {
  GPTVQ_RETURN_IF_ERROR(spec.Validate());
  if (weights.cols != hessian.cols()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the linear has ", weights.cols, " inputs, its Hessian ", hessian.cols()));
  }
  const int vector_dim = spec.method == QuantMethod::kGptvq ? spec.vector_dim : 1;
  if (vector_dim != hessian.vector_dim() || spec.act_order != !hessian.permutation().empty()) {
    return absl::InvalidArgumentError("the Hessian was prepared for another spec");
  }
  return absl::OkStatus();
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
  const LinearWeights& weights;
  const QuantSpec& spec;
  std::uint64_t seed;
  const MonotonicClock* clock;
};

// `weights` are rows of the linear from `first_row` on.
absl::Status CheckFinite(Backend& backend, MatrixView<const float> weights, std::int64_t first_row) {
  std::vector<double> squares(static_cast<std::size_t>(weights.rows));
  GPTVQ_RETURN_IF_ERROR(backend.quant().RowDots(weights, weights, absl::MakeSpan(squares)));
  std::vector<float> row(static_cast<std::size_t>(weights.cols));
  for (std::int64_t r = 0; r < weights.rows; ++r) {
    if (std::isfinite(squares[r])) continue;
    GPTVQ_RETURN_IF_ERROR(backend.CopyBytesToHost(weights.row(r), row.data(), row.size() * sizeof(float)));
    for (std::int64_t c = 0; c < weights.cols; ++c) {
      if (std::isfinite(row[c])) continue;
      return absl::InvalidArgumentError(absl::StrCat("the weight at row ", first_row + r, ", column ", c, " is ",
                                                     row[c], "; a broken checkpoint can not be quantized"));
    }
  }
  return absl::OkStatus();
}

// Columns in the order of `permutation`; through the host, as only baselines ask for it.
absl::Status Permute(Backend& backend, absl::Span<const std::int32_t> permutation, DeviceMatrix<float>& weights) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> values, weights.ToHost(backend));
  std::vector<float> permuted(values.size());
  const std::int64_t cols = weights.cols();
  for (std::int64_t r = 0; r < weights.rows(); ++r) {
    for (std::int64_t c = 0; c < cols; ++c) permuted[r * cols + c] = values[r * cols + permutation[c]];
  }
  return backend.CopyBytesFromHost(permuted.data(), weights.view().data, weights.bytes());
}

// Rows of the linear in backend memory, their columns in the order of the Hessian's.
absl::StatusOr<DeviceMatrix<float>> CopyRows(Backend& backend, const LinearTask& task, const RowShare& share,
                                             absl::Span<const std::int32_t> permutation) {
  const IndexRange rows = share.rows();
  GPTVQ_ASSIGN_OR_RETURN(auto weights, DeviceMatrix<float>::Allocate(backend, rows.count(), task.weights.cols));
  GPTVQ_RETURN_IF_ERROR(task.weights.copy_rows(share.ranks().rank(), rows.begin, weights.view()));
  GPTVQ_RETURN_IF_ERROR(CheckFinite(backend, weights.view(), rows.begin));
  if (!permutation.empty()) GPTVQ_RETURN_IF_ERROR(Permute(backend, permutation, weights));
  return weights;
}

// The rows of one rank, and a report of the whole linear.
struct LinearPart {
  QuantizedLinear rows;
  LinearReport report;
  DeviceMatrix<std::uint8_t> assignments;  // of these rows
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
  GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix<float> device, CopyRows(backend, task, share, hessian.permutation()));
  GPTVQ_ASSIGN_OR_RETURN(Residual residual, Residual::Allocate(backend, device.rows(), device.cols()));
  GPTVQ_ASSIGN_OR_RETURN(const double signal_loss, SignalLoss(backend, hessian, share, device.view(), residual));
  if (spec.method != QuantMethod::kGptvq) {
    GPTVQ_ASSIGN_OR_RETURN(part.rows, RunUniformRecipe(backend, hessian, spec, device.view(), residual));
    timer.Lap(report.seconds.sweep);
  } else if (spec.compatibility == Compatibility::kReference) {
    GPTVQ_ASSIGN_OR_RETURN(part.rows, RunReferenceRecipe(backend, hessian, spec, EmOptionsOf(task), std::move(device),
                                                         signal_loss, residual, report, timer));
  } else {
    GPTVQ_ASSIGN_OR_RETURN(VectorRecipeResult result,
                           RunVectorRecipe(backend, hessian, spec, EmOptionsOf(task), share, std::move(device),
                                           signal_loss, residual, report, timer));
    part.rows = std::move(result.linear);
    part.assignments = std::move(result.assignments);
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
  return LinearPart{JoinRows(layout, rows), std::move(parts.front().report), {}};
}

absl::StatusOr<LinearResult> QuantizeChecked(const Team& team, absl::Span<const PreparedHessian> hessians,
                                             const LinearTask& task, DeviceMatrix<std::uint8_t>& assignments_out) {
  const PreparedHessian& hessian = hessians.front();
  GPTVQ_RETURN_IF_ERROR(CheckArguments(task.weights, hessian, task.spec));
  GPTVQ_ASSIGN_OR_RETURN(LinearPart whole, IsSharedOut(task.spec) ? QuantizeShares(team, hessians, task)
                                                                  : QuantizeWhole(team.lead(), hessian, task));
  LinearResult result{std::move(whole.rows), std::move(whole.report)};
  assignments_out = team.size() == 1 ? std::move(whole.assignments) : DeviceMatrix<std::uint8_t>();
  LinearReport& report = result.report;
  report.name = std::string(task.name);
  report.rows = task.weights.rows;
  report.cols = task.weights.cols;
  report.damping = hessian.damping();
  report.hessian_policy = hessian.policy();
  report.dead_columns = static_cast<std::int64_t>(hessian.dead_columns().size());
  report.bits = CountBits(result.linear);
  return result;
}

}  // namespace

std::vector<float> LinearResult::Dequantized() const {
  std::vector<float> weights(static_cast<std::size_t>(RowCount(linear) * ColumnCount(linear)));
  Dequantize(linear, MatrixView<float>(weights.data(), RowCount(linear), ColumnCount(linear)));
  return weights;
}

absl::StatusOr<LinearResult> QuantizeLinear(Backend& backend, std::string_view name, MatrixView<const float> weights,
                                            const PreparedHessian& hessian, const QuantSpec& spec, std::uint64_t seed,
                                            const MonotonicClock* clock) {
  return QuantizeLinear(Team(backend), name, weights, absl::MakeConstSpan(&hessian, 1), spec, seed, clock);
}

absl::StatusOr<LinearResult> QuantizeLinear(const Team& team, std::string_view name, MatrixView<const float> weights,
                                            absl::Span<const PreparedHessian> hessians, const QuantSpec& spec,
                                            std::uint64_t seed, const MonotonicClock* clock) {
  const auto copy_rows = [&](int rank, std::int64_t first_row, MatrixView<float> rows_out) {
    return team.backend(rank).CopyFromHost(weights.Rows(first_row, rows_out.rows), AsTensor(rows_out));
  };
  DeviceMatrix<std::uint8_t> assignments;
  return QuantizeLinear(team, name, {weights.rows, weights.cols, copy_rows}, hessians, spec, seed, clock, assignments);
}

absl::StatusOr<LinearResult> QuantizeLinear(const Team& team, std::string_view name, const LinearWeights& weights,
                                            absl::Span<const PreparedHessian> hessians, const QuantSpec& spec,
                                            std::uint64_t seed, const MonotonicClock* clock,
                                            DeviceMatrix<std::uint8_t>& assignments_out) {
  GPTVQ_CHECK(std::ssize(hessians) == team.size());
  absl::StatusOr<LinearResult> result =
      QuantizeChecked(team, hessians, {name, weights, spec, seed, clock}, assignments_out);
  if (!result.ok()) return WithContext(result.status(), name);
  return result;
}

}  // namespace gptvq
