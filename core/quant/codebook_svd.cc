#include "core/quant/codebook_svd.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/quant/normal_equations.h"
#include "core/quant/truncated_svd.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {
namespace {

constexpr double kLargestCode = 127;
constexpr double kSmallestUnit = 0x1p-126;  // the smallest normal f32 number
// A column of coefficients below this share of the first one is rounding noise of the f32 codebooks.
constexpr double kNoise = 1e-6;
// What an entry counts at least for in the preconditioner, as a share of the mean over its codebook: an entry that no
// weight uses would let a factor that moves little else go anywhere.
constexpr double kLeastWeight = 0.05;

// Entries in ascending order within each codebook. Decoded weights stay; `stored` is left behind.
absl::Status SortCodebooks(Backend& backend, VectorState& state) {
  GPTVQ_CHECK(state.vector_dim == 1);
  const GroupLayout& layout = state.layout;
  GPTVQ_ASSIGN_OR_RETURN(std::vector<std::uint8_t> assignments, state.assignments.ToHost(backend));
  std::vector<std::uint8_t> order(static_cast<std::size_t>(state.entries_per_codebook()));
  std::vector<std::uint8_t> new_name(order.size());
  std::vector<float> sorted(order.size());
  for (const Stripe& stripe : layout.stripes()) {
    for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
      const absl::Span<float> codebook = state.CodebookOf(stripe.first_group + block);
      std::iota(order.begin(), order.end(), std::uint8_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](std::uint8_t a, std::uint8_t b) { return codebook[a] < codebook[b]; });
      for (std::size_t k = 0; k < order.size(); ++k) {
        new_name[order[k]] = static_cast<std::uint8_t>(k);
        sorted[k] = codebook[order[k]];
      }
      std::copy(sorted.begin(), sorted.end(), codebook.begin());
      for (std::int64_t r = layout.RowBlockBegin(stripe, block); r < layout.RowBlockBegin(stripe, block + 1); ++r) {
        const auto row = assignments.begin() + r * layout.cols() + stripe.column_begin;
        std::transform(row, row + stripe.column_count, row, [&](std::uint8_t old) { return new_name[old]; });
      }
    }
  }
  GPTVQ_RETURN_IF_ERROR(
      backend.CopyBytesFromHost(assignments.data(), state.assignments.view().data, state.assignments.bytes()));
  return backend.CopyBytesFromHost(state.values.data(), state.codebooks.view().data, state.codebooks.bytes());
}

// The largest coefficient of each column becomes 127; columns of noise become 0.
SvdCodebooks RoundFactors(const TruncatedSvd& svd) {
  SvdCodebooks codebooks;
  codebooks.rank = svd.rank;
  codebooks.codes.resize(svd.coefficients.size());
  codebooks.basis.resize(svd.basis.size());
  const std::size_t centroids = svd.basis.size() / svd.rank;
  std::vector<double> units(static_cast<std::size_t>(svd.rank), 0);
  for (std::size_t i = 0; i < svd.coefficients.size(); ++i) {
    double& unit = units[i % svd.rank];
    unit = std::max(unit, std::abs(svd.coefficients[i]) / kLargestCode);
  }
  const double least = std::max(kSmallestUnit, kNoise * units[0]);
  for (double& unit : units) unit = unit < least ? 0 : unit;
  for (std::size_t i = 0; i < svd.coefficients.size(); ++i) {
    const double unit = units[i % svd.rank];
    codebooks.codes[i] = unit == 0 ? 0 : static_cast<std::int8_t>(std::nearbyint(svd.coefficients[i] / unit));
  }
  for (std::size_t i = 0; i < svd.basis.size(); ++i) {
    codebooks.basis[i] = static_cast<float>(svd.basis[i] * units[i / centroids]);
  }
  return codebooks;
}

// One factor of the codebooks while the other is held: entry(o, i) = sum over j of free[o, j] fixed[j, i]. For the codes
// o is the group and i the centroid, for the transposed basis the other way round. Free factors are [outer, rank].
class FreeFactor {
 public:
  static FreeFactor Codes(const SvdCodebooks& codebooks, std::int64_t groups, std::int64_t centroids) {
    FreeFactor factor{codebooks.rank, groups, centroids, centroids, 1};
    factor.fixed_.assign(codebooks.basis.begin(), codebooks.basis.end());
    return factor;
  }

  static FreeFactor TransposedBasis(const SvdCodebooks& codebooks, std::int64_t groups, std::int64_t centroids) {
    FreeFactor factor{codebooks.rank, centroids, groups, 1, centroids};
    factor.fixed_.resize(codebooks.codes.size());
    for (std::int64_t g = 0; g < groups; ++g) {
      for (int j = 0; j < codebooks.rank; ++j) factor.fixed_[j * groups + g] = codebooks.codes[g * codebooks.rank + j];
    }
    return factor;
  }

  // Codebooks [G, K] of a change of the free factor.
  std::vector<double> Expand(const std::vector<double>& free) const {
    std::vector<double> codebooks(static_cast<std::size_t>(outer_ * inner_), 0);
    for (std::int64_t o = 0; o < outer_; ++o) {
      for (int j = 0; j < rank_; ++j) {
        for (std::int64_t i = 0; i < inner_; ++i) codebooks[At(o, i)] += free[o * rank_ + j] * fixed_[j * inner_ + i];
      }
    }
    return codebooks;
  }

  // The adjoint of Expand.
  std::vector<double> Restrict(const std::vector<double>& codebooks) const {
    return Contract(codebooks, [](double fixed) { return fixed; });
  }

  // The diagonal of Restrict diag(`weights`) Expand, inverted; 0 where nothing depends on an element.
  std::vector<double> InverseDiagonal(const std::vector<double>& weights) const {
    std::vector<double> diagonal = Contract(weights, [](double fixed) { return fixed * fixed; });
    for (double& element : diagonal) element = element > 0 ? 1 / element : 0;
    return diagonal;
  }

 private:
  FreeFactor(int rank, std::int64_t outer, std::int64_t inner, std::int64_t outer_stride, std::int64_t inner_stride)
      : rank_(rank), outer_(outer), inner_(inner), outer_stride_(outer_stride), inner_stride_(inner_stride) {}

  std::int64_t At(std::int64_t outer, std::int64_t inner) const {
    return outer * outer_stride_ + inner * inner_stride_;
  }

  template <typename Weight>
  std::vector<double> Contract(const std::vector<double>& codebooks, Weight weight) const {
    std::vector<double> free(static_cast<std::size_t>(outer_ * rank_), 0);
    for (std::int64_t o = 0; o < outer_; ++o) {
      for (int j = 0; j < rank_; ++j) {
        for (std::int64_t i = 0; i < inner_; ++i)
          free[o * rank_ + j] += weight(fixed_[j * inner_ + i]) * codebooks[At(o, i)];
      }
    }
    return free;
  }

  int rank_;
  std::int64_t outer_;
  std::int64_t inner_;
  std::int64_t outer_stride_;
  std::int64_t inner_stride_;
  std::vector<double> fixed_;  // [rank, inner]
};

// Raises small weights [G, K] to a share of the mean of their codebook.
void RaiseSmallWeights(std::int64_t centroids, std::vector<double>& weights) {
  for (auto codebook = weights.begin(); codebook != weights.end(); codebook += centroids) {
    const double least = kLeastWeight * std::accumulate(codebook, codebook + centroids, 0.0) / centroids;
    std::transform(codebook, codebook + centroids, codebook,
                   [least](double weight) { return std::max(weight, least); });
  }
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

std::vector<double> Multiply(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> product(a.size());
  std::transform(a.begin(), a.end(), b.begin(), product.begin(), std::multiplies<>());
  return product;
}

void AddScaled(double factor, const std::vector<double>& x, std::vector<double>& y) {
  for (std::size_t i = 0; i < x.size(); ++i) y[i] += factor * x[i];
}

class FactorTuning {
 public:
  FactorTuning(Backend& backend, const PreparedHessian& hessian, std::int64_t max_iterations, double min_relative_gain,
               VectorState& state, Residual& residual, Residual& scratch)
      : backend_(backend),
        hessian_(hessian),
        max_iterations_(max_iterations),
        min_relative_gain_(min_relative_gain),
        state_(state),
        residual_(residual),
        scratch_(scratch),
        equations_(backend, hessian, state, scratch) {}

  absl::StatusOr<std::int64_t> Run() {
    GPTVQ_RETURN_IF_ERROR(equations_.Allocate());
    const std::int64_t groups = state_.layout.group_count();
    const std::int64_t centroids = state_.entries_per_codebook();
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<double> step, Solve(FreeFactor::Codes(stored(), groups, centroids)));
    GPTVQ_RETURN_IF_ERROR(KeepIfBetter(WithCodesMoved(step)));
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<double> basis_step,
                           Solve(FreeFactor::TransposedBasis(stored(), groups, centroids)));
    GPTVQ_RETURN_IF_ERROR(KeepIfBetter(WithBasisMoved(basis_step)));
    return iterations_;
  }

 private:
  const SvdCodebooks& stored() const { return std::get<SvdCodebooks>(state_.stored); }

  // The step of the free factor that conjugate gradient reaches from 0.
  absl::StatusOr<std::vector<double>> Solve(const FreeFactor& factor) {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<double> right, equations_.RightHandSide(residual_.gradient.view()));
    GPTVQ_ASSIGN_OR_RETURN(std::vector<double> weights, equations_.Diagonal());
    RaiseSmallWeights(state_.entries_per_codebook(), weights);
    const std::vector<double> preconditioner = factor.InverseDiagonal(weights);
    const double least_gain = min_relative_gain_ * residual_.Loss();
    std::vector<double> r = factor.Restrict(right);
    std::vector<double> z = Multiply(preconditioner, r);
    std::vector<double> p = z;
    double rz = Dot(r, z);
    std::vector<double> step(r.size(), 0);
    for (std::int64_t i = 0; i < max_iterations_; ++i) {
      GPTVQ_ASSIGN_OR_RETURN(const std::vector<double> applied, equations_.Apply(factor.Expand(p)));
      const std::vector<double> np = factor.Restrict(applied);
      ++iterations_;
      const double curvature = Dot(p, np);
      if (!(curvature > 0)) break;
      const double alpha = rz / curvature;
      AddScaled(alpha, p, step);
      AddScaled(-alpha, np, r);
      if (alpha * rz <= least_gain) break;  // alpha rz: by how much this step lowers the loss
      z = Multiply(preconditioner, r);
      const double next_rz = Dot(r, z);
      for (std::size_t e = 0; e < p.size(); ++e) p[e] = z[e] + next_rz / rz * p[e];
      rz = next_rz;
    }
    return step;
  }

  // Codes that would leave int8 make the unit of their column larger.
  SvdCodebooks WithCodesMoved(const std::vector<double>& step) const {
    SvdCodebooks moved = stored();
    const std::int64_t centroids = state_.entries_per_codebook();
    std::vector<double> units(static_cast<std::size_t>(moved.rank), 1);
    for (std::size_t i = 0; i < step.size(); ++i) {
      double& unit = units[i % moved.rank];
      unit = std::max(unit, std::abs(moved.codes[i] + step[i]) / kLargestCode);
    }
    for (std::size_t i = 0; i < step.size(); ++i) {
      moved.codes[i] = static_cast<std::int8_t>(std::nearbyint((moved.codes[i] + step[i]) / units[i % moved.rank]));
    }
    for (std::size_t i = 0; i < moved.basis.size(); ++i) {
      moved.basis[i] = static_cast<float>(moved.basis[i] * units[i / centroids]);
    }
    return moved;
  }

  SvdCodebooks WithBasisMoved(const std::vector<double>& transposed_step) const {
    SvdCodebooks moved = stored();
    const std::int64_t centroids = state_.entries_per_codebook();
    for (std::int64_t k = 0; k < centroids; ++k) {
      for (int j = 0; j < moved.rank; ++j) {
        float& entry = moved.basis[j * centroids + k];
        entry = static_cast<float>(entry + transposed_step[k * moved.rank + j]);
      }
    }
    return moved;
  }

  absl::Status KeepIfBetter(SvdCodebooks candidate) {
    StoredCodebooks before = state_.stored;
    GPTVQ_RETURN_IF_ERROR(state_.Store(backend_, std::move(candidate)));
    GPTVQ_RETURN_IF_ERROR(scratch_.Recompute(backend_, hessian_, state_));
    if (!(scratch_.Loss() < residual_.Loss())) return state_.Store(backend_, std::move(before));
    std::swap(residual_, scratch_);
    return absl::OkStatus();
  }

  Backend& backend_;
  const PreparedHessian& hessian_;
  const std::int64_t max_iterations_;
  const double min_relative_gain_;
  VectorState& state_;
  Residual& residual_;
  Residual& scratch_;
  NormalEquations equations_;
  std::int64_t iterations_ = 0;
};

}  // namespace

absl::Status CompressCodebooks(Backend& backend, int rank, VectorState& state) {
  GPTVQ_RETURN_IF_ERROR(SortCodebooks(backend, state));
  const MatrixView<const float> matrix(state.values.data(), state.layout.group_count(), state.entries_per_codebook());
  return state.Store(backend, RoundFactors(TruncateSvd(matrix, rank)));
}

absl::StatusOr<std::int64_t> TuneFactors(Backend& backend, const PreparedHessian& hessian, std::int64_t max_iterations,
                                         double min_relative_gain, VectorState& state, Residual& residual,
                                         Residual& scratch) {
  return FactorTuning(backend, hessian, max_iterations, min_relative_gain, state, residual, scratch).Run();
}

}  // namespace gptvq
