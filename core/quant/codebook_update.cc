#include "core/quant/codebook_update.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/status_macros.h"
#include "core/quant/normal_equations.h"

namespace gptvq {
namespace {

std::vector<std::int64_t> RowBlockBegins(const GroupLayout& layout, const Stripe& stripe) {
  std::vector<std::int64_t> begins;
  for (std::int64_t b = 0; b < stripe.row_block_count; ++b) begins.push_back(layout.RowBlockBegin(stripe, b));
  return begins;
}

// Which independent range each group belongs to, and sums over codebook-shaped vectors range by range.
class RangeIndex {
 public:
  explicit RangeIndex(const GroupLayout& layout) : begins_(IndependentRowRanges(layout)) {
    for (const Stripe& stripe : layout.stripes()) {
      for (std::int64_t b = 0; b < stripe.row_block_count; ++b) {
        range_of_group_.push_back(RangeOfRow(layout.RowBlockBegin(stripe, b)));
      }
    }
  }

  std::size_t count() const { return begins_.size(); }
  std::size_t RangeOfGroup(std::int64_t group) const { return range_of_group_[group]; }
  std::int64_t Begin(std::size_t range) const { return begins_[range]; }
  std::int64_t End(std::size_t range, std::int64_t rows) const {
    return range + 1 < begins_.size() ? begins_[range + 1] : rows;
  }

  std::vector<double> SumRows(const std::vector<double>& row_values) const {
    std::vector<double> sums(count(), 0);
    for (std::size_t range = 0; range < count(); ++range) {
      const std::int64_t end = End(range, static_cast<std::int64_t>(row_values.size()));
      for (std::int64_t r = Begin(range); r < end; ++r) sums[range] += row_values[r];
    }
    return sums;
  }

  std::vector<double> Dots(const std::vector<double>& a, const std::vector<double>& b) const {
    std::vector<double> dots(count(), 0);
    const std::size_t entries = a.size() / range_of_group_.size();
    for (std::size_t i = 0; i < a.size(); ++i) dots[range_of_group_[i / entries]] += a[i] * b[i];
    return dots;
  }

  // y += factor[range] * x.
  void AddScaled(const std::vector<double>& factor, const std::vector<double>& x, std::vector<double>& y) const {
    const std::size_t entries = x.size() / range_of_group_.size();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] += factor[range_of_group_[i / entries]] * x[i];
  }

  // y = x + factor[range] * y.
  void ScaleAndAdd(const std::vector<double>& factor, const std::vector<double>& x, std::vector<double>& y) const {
    const std::size_t entries = x.size() / range_of_group_.size();
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] + factor[range_of_group_[i / entries]] * y[i];
  }

 private:
  std::size_t RangeOfRow(std::int64_t row) const {
    return std::upper_bound(begins_.begin(), begins_.end(), row) - begins_.begin() - 1;
  }

  std::vector<std::int64_t> begins_;
  std::vector<std::size_t> range_of_group_;
};

// Element by element; 0 stays 0: centroids that no vector uses do not move.
std::vector<double> Reciprocals(std::vector<double> values) {
  for (double& value : values) value = value > 0 ? 1 / value : 0;
  return values;
}

std::vector<double> Multiply(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> product(a.size());
  std::transform(a.begin(), a.end(), b.begin(), product.begin(), std::multiplies<>());
  return product;
}

// Copies the rows of one range, of every member.
absl::Status CopyRows(Backend& backend, std::int64_t begin, std::int64_t end, const Residual& source,
                      Residual& target) {
  const std::int64_t count = end - begin;
  GPTVQ_RETURN_IF_ERROR(
      backend.CopyInside(source.error.view().Rows(begin, count), target.error.view().Rows(begin, count)));
  GPTVQ_RETURN_IF_ERROR(
      backend.CopyInside(source.gradient.view().Rows(begin, count), target.gradient.view().Rows(begin, count)));
  std::copy(source.row_losses.begin() + begin, source.row_losses.begin() + end, target.row_losses.begin() + begin);
  return absl::OkStatus();
}

}  // namespace

std::vector<std::int64_t> IndependentRowRanges(const GroupLayout& layout) {
  std::vector<std::int64_t> common = RowBlockBegins(layout, layout.stripes().front());
  for (const Stripe& stripe : layout.stripes()) {
    const std::vector<std::int64_t> begins = RowBlockBegins(layout, stripe);
    std::vector<std::int64_t> both;
    std::set_intersection(common.begin(), common.end(), begins.begin(), begins.end(), std::back_inserter(both));
    common = std::move(both);
  }
  return common;
}

absl::StatusOr<UpdateStep> SolveNormalEquations(Backend& backend, const PreparedHessian& hessian,
                                                const VectorState& state, const Residual& residual,
                                                std::int64_t max_iterations, double min_relative_gain,
                                                Residual& scratch) {
  const RangeIndex ranges(state.layout);
  NormalEquations equations(backend, hessian, state, scratch);
  GPTVQ_RETURN_IF_ERROR(equations.Allocate());
  GPTVQ_ASSIGN_OR_RETURN(std::vector<double> r, equations.RightHandSide(residual.gradient.view()));
  GPTVQ_ASSIGN_OR_RETURN(std::vector<double> diagonal, equations.Diagonal());
  const std::vector<double> preconditioner = Reciprocals(std::move(diagonal));
  std::vector<double> z = Multiply(preconditioner, r);
  std::vector<double> p = z;
  std::vector<double> rz = ranges.Dots(r, z);
  const std::vector<double> losses = ranges.SumRows(residual.row_losses);

  UpdateStep step;
  step.delta.assign(r.size(), 0);
  std::vector<double> alpha(ranges.count());
  std::vector<double> negative_alpha(ranges.count());
  std::vector<double> beta(ranges.count());
  std::vector<bool> active(ranges.count(), true);
  while (step.iterations < max_iterations) {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<double> np, equations.Apply(p));
    ++step.iterations;
    const std::vector<double> curvature = ranges.Dots(p, np);
    for (std::size_t i = 0; i < ranges.count(); ++i) {
      alpha[i] = active[i] && curvature[i] > 0 ? rz[i] / curvature[i] : 0;
      negative_alpha[i] = -alpha[i];
      active[i] = alpha[i] * rz[i] > min_relative_gain * losses[i];  // alpha rz: by how much this step lowers the loss
    }
    ranges.AddScaled(alpha, p, step.delta);
    ranges.AddScaled(negative_alpha, np, r);
    if (std::find(active.begin(), active.end(), true) == active.end()) break;
    z = Multiply(preconditioner, r);
    std::vector<double> next_rz = ranges.Dots(r, z);
    for (std::size_t i = 0; i < ranges.count(); ++i) beta[i] = rz[i] > 0 ? next_rz[i] / rz[i] : 0;
    ranges.ScaleAndAdd(beta, z, p);
    rz = std::move(next_rz);
  }
  return step;
}

absl::StatusOr<std::int64_t> UpdateCodebooks(Backend& backend, const PreparedHessian& hessian,
                                             std::int64_t max_iterations, double min_relative_gain, VectorState& state,
                                             Residual& residual, Residual& scratch) {
  GPTVQ_ASSIGN_OR_RETURN(const UpdateStep step, SolveNormalEquations(backend, hessian, state, residual, max_iterations,
                                                                     min_relative_gain, scratch));
  const std::vector<float> values_before = state.values;
  const StoredCodebooks stored_before = state.stored;
  for (std::size_t i = 0; i < step.delta.size(); ++i) {
    state.values[i] = static_cast<float>(state.values[i] + step.delta[i]);
  }
  const std::int64_t groups = state.layout.group_count();
  GPTVQ_RETURN_IF_ERROR(state.RoundCodebooks(backend, 0, groups));
  GPTVQ_RETURN_IF_ERROR(scratch.Recompute(backend, hessian, state));

  const RangeIndex ranges(state.layout);
  const std::vector<double> losses_before = ranges.SumRows(residual.row_losses);
  const std::vector<double> losses_after = ranges.SumRows(scratch.row_losses);
  std::vector<bool> refused(ranges.count());
  for (std::size_t i = 0; i < ranges.count(); ++i) {
    refused[i] = !(losses_after[i] < losses_before[i]);
    if (!refused[i]) continue;
    GPTVQ_RETURN_IF_ERROR(CopyRows(backend, ranges.Begin(i), ranges.End(i, state.layout.rows()), residual, scratch));
  }
  std::swap(residual, scratch);
  for (std::int64_t g = 0; g < groups; ++g) {
    if (!refused[ranges.RangeOfGroup(g)]) continue;
    CopyStoredCodebook({g, g}, state.entries_per_codebook(), stored_before, state.stored);
    std::copy_n(values_before.begin() + g * state.entries_per_codebook(), state.entries_per_codebook(),
                state.CodebookOf(g).begin());
  }
  GPTVQ_RETURN_IF_ERROR(
      backend.CopyBytesFromHost(state.values.data(), state.codebooks.view().data, state.codebooks.bytes()));
  return step.iterations;
}

}  // namespace gptvq
