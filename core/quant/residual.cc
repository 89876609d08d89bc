#include "core/quant/residual.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/status_macros.h"

namespace gptvq {

absl::StatusOr<Residual> Residual::Allocate(Backend& backend, std::int64_t rows, std::int64_t cols) {
  Residual residual;
  GPTVQ_ASSIGN_OR_RETURN(residual.error, DeviceMatrix<float>::Allocate(backend, rows, cols));
  GPTVQ_ASSIGN_OR_RETURN(residual.gradient, DeviceMatrix<float>::Allocate(backend, rows, cols));
  residual.row_losses.assign(static_cast<std::size_t>(rows), 0);
  return residual;
}

double Residual::Loss() const { return std::accumulate(row_losses.begin(), row_losses.end(), 0.0); }

absl::Status Residual::Recompute(Backend& backend, const PreparedHessian& hessian, const VectorState& state) {
  QuantOps& ops = backend.quant();
  GPTVQ_RETURN_IF_ERROR(
      ops.DecodeVectors(state.code(), state.codebooks.view(), state.assignments.view(), error.view()));
  GPTVQ_RETURN_IF_ERROR(ops.Axpby(1, state.weights.view(), -1, error.view()));
  return RecomputeGradient(backend, hessian);
}

absl::Status Residual::RecomputeGradient(Backend& backend, const PreparedHessian& hessian) {
  GPTVQ_RETURN_IF_ERROR(
      backend.quant().MatMul(-1, error.view(), Transpose::kNo, hessian.damped(), Transpose::kNo, 0, gradient.view()));
  return SumRowLosses(backend);
}

absl::Status Residual::SumRowLosses(Backend& backend) {
  GPTVQ_RETURN_IF_ERROR(backend.quant().RowDots(error.view(), gradient.view(), absl::MakeSpan(row_losses)));
  for (double& loss : row_losses) loss = -loss;
  if (std::isfinite(Loss())) return absl::OkStatus();
  return absl::FailedPreconditionError("the loss is not finite: weights or inputs of this layer are too large");
}

absl::StatusOr<double> UndampedLoss(Backend& backend, const PreparedHessian& hessian, const RowShare& share,
                                    const Residual& residual) {
  std::vector<double> squares(residual.row_losses.size());
  GPTVQ_RETURN_IF_ERROR(backend.quant().RowDots(residual.error.view(), residual.error.view(), absl::MakeSpan(squares)));
  GPTVQ_ASSIGN_OR_RETURN(const double square_sum, share.SumOverRows(squares));
  GPTVQ_ASSIGN_OR_RETURN(const double loss, share.SumOverRows(residual.row_losses));
  return std::max(0.0, loss - hessian.lambda() * square_sum);
}

}  // namespace gptvq
