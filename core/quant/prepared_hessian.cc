#include "core/quant/prepared_hessian.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/quant/phase_timer.h"

namespace gptvq {
namespace {

constexpr double kNearDead = 1e-8;
constexpr std::array<double, 4> kLaterRungs = {0.03, 0.1, 0.3, 1.0};

// The diagonal of a square matrix as a column: one element every cols + 1.
TensorView DiagonalView(MatrixView<float> matrix) {
  return TensorView(matrix.data, DType::kF32, matrix.rows, 1, matrix.stride + 1);
}

absl::StatusOr<std::vector<float>> ReadDiagonal(Backend& backend, MatrixView<float> matrix) {
  std::vector<float> diagonal(static_cast<std::size_t>(matrix.rows));
  GPTVQ_RETURN_IF_ERROR(backend.CopyToHost(DiagonalView(matrix), MatrixView<float>(diagonal.data(), matrix.rows, 1)));
  return diagonal;
}

absl::Status WriteDiagonal(Backend& backend, const std::vector<float>& diagonal, MatrixView<float> matrix_out) {
  return backend.CopyFromHost(MatrixView<const float>(diagonal.data(), matrix_out.rows, 1), DiagonalView(matrix_out));
}

std::vector<double> DampingLadder(const QuantSpec& spec) {
  std::vector<double> rungs = {spec.damping};
  if (spec.compatibility == Compatibility::kReference) return rungs;
  std::copy_if(kLaterRungs.begin(), kLaterRungs.end(), std::back_inserter(rungs),
               [&](double rung) { return rung > spec.damping; });
  return rungs;
}

// The columns in decreasing order of their diagonal element, equal ones in natural order.
std::vector<std::int32_t> ActOrder(const std::vector<float>& diagonal) {
  std::vector<std::int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return diagonal[a] > diagonal[b]; });
  return order;
}

// Rows and columns of `matrix` in the order of `permutation`. Through host memory: only a baseline needs it.
absl::Status PermuteBothSides(Backend& backend, const std::vector<std::int32_t>& permutation,
                              DeviceMatrix<float>& matrix) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> source, matrix.ToHost(backend));
  const std::size_t n = permutation.size();
  std::vector<float> target(source.size());
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = 0; c < n; ++c) target[r * n + c] = source[permutation[r] * n + permutation[c]];
  }
  return backend.CopyBytesFromHost(target.data(), matrix.view().data, matrix.bytes());
}

}  // namespace

absl::StatusOr<PreparedHessian> PreparedHessian::Make(Backend& backend, Hessian hessian, const QuantSpec& spec,
                                                      const MonotonicClock* clock) {
  PreparedHessian prepared;
  PhaseTimer timer(clock);
  prepared.damped_ = std::move(hessian.matrix);
  prepared.vector_dim_ = spec.method == QuantMethod::kGptvq ? spec.vector_dim : 1;
  if (prepared.cols() % prepared.vector_dim_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the linears behind it have ", prepared.cols(),
                                                   " columns, no multiple of vector_dim ", prepared.vector_dim_,
                                                   "; choose a preset with a smaller dimension"));
  }
  GPTVQ_RETURN_IF_ERROR(prepared.InspectDiagonal(backend, spec));
  GPTVQ_RETURN_IF_ERROR(prepared.Factorise(backend, spec));
  GPTVQ_ASSIGN_OR_RETURN(prepared.feedback_, DeviceMatrix<float>::Allocate(backend, prepared.cols(), prepared.cols()));
  GPTVQ_RETURN_IF_ERROR(
      backend.quant().NormalizeBlockColumns(prepared.factor_.view(), prepared.vector_dim_, prepared.feedback_.view()));
  GPTVQ_ASSIGN_OR_RETURN(prepared.conditional_weights_, ReadDiagonal(backend, prepared.factor_.view()));
  for (float& weight : prepared.conditional_weights_) weight *= weight;
  timer.Lap(prepared.factor_seconds_);
  return prepared;
}

absl::Status PreparedHessian::InspectDiagonal(Backend& backend, const QuantSpec& spec) {
  GPTVQ_ASSIGN_OR_RETURN(diagonal_, ReadDiagonal(backend, damped_.view()));
  for (std::size_t j = 0; j < diagonal_.size(); ++j) {
    if (!std::isfinite(diagonal_[j]) || diagonal_[j] < 0) {
      return absl::FailedPreconditionError(absl::StrCat("the Hessian's diagonal element ", j, " is ", diagonal_[j]));
    }
  }
  if (spec.act_order) {
    permutation_ = ActOrder(diagonal_);
    GPTVQ_RETURN_IF_ERROR(PermuteBothSides(backend, permutation_, damped_));
    std::sort(diagonal_.begin(), diagonal_.end(), std::greater<>());
  }
  mean_diagonal_ = std::accumulate(diagonal_.begin(), diagonal_.end(), 0.0) / static_cast<double>(diagonal_.size());
  for (std::size_t j = 0; j < diagonal_.size(); ++j) {
    if (diagonal_[j] < kNearDead * mean_diagonal_ || diagonal_[j] == 0) dead_columns_.push_back(j);
  }
  // As the reference does: the damping below is relative to the mean that includes these ones.
  if (spec.compatibility == Compatibility::kReference) {
    for (std::int64_t j : dead_columns_) {
      if (diagonal_[j] == 0) diagonal_[j] = 1;
    }
    mean_diagonal_ = std::accumulate(diagonal_.begin(), diagonal_.end(), 0.0) / static_cast<double>(diagonal_.size());
  }
  return absl::OkStatus();
}

absl::Status PreparedHessian::Factorise(Backend& backend, const QuantSpec& spec) {
  const std::vector<float> undamped = diagonal_;
  GPTVQ_ASSIGN_OR_RETURN(factor_, DeviceMatrix<float>::Allocate(backend, cols(), cols()));
  for (double rung : DampingLadder(spec)) {
    GPTVQ_RETURN_IF_ERROR(SetDamping(backend, undamped, rung));
    GPTVQ_RETURN_IF_ERROR(backend.CopyInside(damped_.view(), factor_.view()));
    const absl::Status status = backend.quant().ReversedCholesky(factor_.view());
    if (status.ok()) return absl::OkStatus();
    if (!absl::IsFailedPrecondition(status) || spec.compatibility == Compatibility::kReference) return status;
  }
  policy_ = HessianPolicy::kDiagonalOnly;
  GPTVQ_RETURN_IF_ERROR(backend.FillZero(damped_.view().data, damped_.bytes()));
  GPTVQ_RETURN_IF_ERROR(SetDamping(backend, undamped, spec.damping));
  GPTVQ_RETURN_IF_ERROR(backend.CopyInside(damped_.view(), factor_.view()));
  return backend.quant().ReversedCholesky(factor_.view());
}

// With a mean of 0 nothing is known of the inputs: every column then counts the same.
absl::Status PreparedHessian::SetDamping(Backend& backend, const std::vector<float>& undamped, double rung) {
  damping_ = rung;
  lambda_ = mean_diagonal_ > 0 ? rung * mean_diagonal_ : 1.0;
  for (std::size_t j = 0; j < undamped.size(); ++j) diagonal_[j] = static_cast<float>(undamped[j] + lambda_);
  return WriteDiagonal(backend, diagonal_, damped_.view());
}

}  // namespace gptvq
