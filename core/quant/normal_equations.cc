#include "core/quant/normal_equations.h"

#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {

absl::Status NormalEquations::Allocate() {
  GPTVQ_ASSIGN_OR_RETURN(
      device_, DeviceMatrix<float>::Allocate(backend_, state_.layout.group_count(), state_.entries_per_codebook()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> NormalEquations::RightHandSide(MatrixView<const float> gradient) {
  GPTVQ_ASSIGN_OR_RETURN(std::vector<double> sums, Adjoint(gradient));
  for (double& sum : sums) sum = -sum;
  return sums;
}

absl::StatusOr<std::vector<double>> NormalEquations::Diagonal() {
  GPTVQ_RETURN_IF_ERROR(backend_.quant().AccumulateCentroidWeights(state_.code(), state_.assignments.view(),
                                                                   hessian_.diagonal(), device_.view()));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> diagonal, device_.ToHost(backend_));
  return std::vector<double>(diagonal.begin(), diagonal.end());
}

absl::StatusOr<std::vector<double>> NormalEquations::Apply(const std::vector<double>& x) {
  const std::vector<float> narrow(x.begin(), x.end());
  GPTVQ_RETURN_IF_ERROR(backend_.CopyBytesFromHost(narrow.data(), device_.view().data, device_.bytes()));
  GPTVQ_RETURN_IF_ERROR(backend_.quant().DecodeVectors(state_.code(), std::as_const(device_).view(),
                                                       state_.assignments.view(), scratch_.error.view()));
  GPTVQ_RETURN_IF_ERROR(backend_.quant().MatMul(1, scratch_.error.view(), Transpose::kNo, hessian_.damped(),
                                                Transpose::kNo, 0, scratch_.gradient.view()));
  return Adjoint(scratch_.gradient.view());
}

absl::StatusOr<std::vector<double>> NormalEquations::Adjoint(MatrixView<const float> x) {
  GPTVQ_RETURN_IF_ERROR(
      backend_.quant().AccumulateCentroidSums(state_.code(), state_.assignments.view(), x, device_.view()));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<float> sums, device_.ToHost(backend_));
  return std::vector<double>(sums.begin(), sums.end());
}

}  // namespace gptvq
