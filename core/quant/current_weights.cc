#include "core/quant/current_weights.h"

#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// The inverse of a unit upper triangular matrix in f64, row-major, from the last row up.
void InvertUnitUpper(MatrixView<const float> m, std::vector<double>& inverse_out) {
  const std::int64_t n = m.rows;
  inverse_out.assign(static_cast<std::size_t>(n * n), 0);
  for (std::int64_t i = n - 1; i >= 0; --i) {
    double* row = &inverse_out[i * n];
    row[i] = 1;
    for (std::int64_t k = i + 1; k < n; ++k) {
      const double factor = m.at(i, k);
      const double* below = &inverse_out[k * n];
      for (std::int64_t j = k; j < n; ++j) row[j] -= factor * below[j];
    }
  }
}

}  // namespace

absl::StatusOr<CurrentWeights> CurrentWeights::Make(Backend& backend, std::int64_t rows, std::int64_t max_width) {
  CurrentWeights made(backend);
  GPTVQ_ASSIGN_OR_RETURN(made.current_, DeviceMatrix<float>::Allocate(backend, rows, max_width));
  GPTVQ_ASSIGN_OR_RETURN(made.deviation_, DeviceMatrix<float>::Allocate(backend, rows, max_width));
  GPTVQ_ASSIGN_OR_RETURN(made.inverse_, DeviceMatrix<float>::Allocate(backend, max_width, max_width));
  return made;
}

absl::StatusOr<MatrixView<const float>> CurrentWeights::At(const PreparedHessian& hessian, std::int64_t begin,
                                                           MatrixView<const float> weights,
                                                           MatrixView<const float> targets) {
  const std::int64_t width = weights.cols;
  const MatrixView<float> current = current_.view().Cols(0, width);
  GPTVQ_RETURN_IF_ERROR(backend_->CopyInside(weights, current));
  if (begin == 0) return MatrixView<const float>(current);  // nothing has been fed back yet

  std::vector<float> block(static_cast<std::size_t>(width * width));
  const MatrixView<float> host(block.data(), width, width);
  const MatrixView<const float> feedback = hessian.feedback().Block(begin, begin, width, width);
  GPTVQ_RETURN_IF_ERROR(
      backend_->CopyToHost(ConstTensorView(feedback.data, DType::kF32, width, width, feedback.stride), host));
  InvertUnitUpper(host, host_inverse_);
  block.assign(host_inverse_.begin(), host_inverse_.end());
  const MatrixView<float> inverse = inverse_.view().Block(0, 0, width, width);
  GPTVQ_RETURN_IF_ERROR(
      backend_->CopyFromHost(host, TensorView(inverse.data, DType::kF32, width, width, inverse.stride)));

  QuantOps& ops = backend_->quant();
  const MatrixView<float> deviation = deviation_.view().Cols(0, width);
  GPTVQ_RETURN_IF_ERROR(backend_->CopyInside(targets, deviation));
  GPTVQ_RETURN_IF_ERROR(ops.Axpby(-1, weights, 1, deviation));
  GPTVQ_RETURN_IF_ERROR(ops.MatMul(1, deviation, Transpose::kNo, inverse, Transpose::kNo, 1, current));
  return MatrixView<const float>(current);
}

}  // namespace gptvq
