#include "core/quant/hessian.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr double kMaxSkippedShare = 1e-3;
constexpr float kMaxAsymmetry = 1e-3f;

absl::Status CheckElement(MatrixView<const float> values, std::int64_t r, std::int64_t c) {
  const float upper = values.at(r, c);
  const float lower = values.at(c, r);
  if (!std::isfinite(upper) || !std::isfinite(lower)) {
    const bool in_upper = !std::isfinite(upper);
    return absl::InvalidArgumentError(
        absl::StrCat("the Hessian is not finite at row ", in_upper ? r : c, ", column ", in_upper ? c : r));
  }
  if (r == c && upper < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the Hessian has the negative diagonal element ", upper, " at row ", r, ", column ", c));
  }
  if (std::abs(upper - lower) > kMaxAsymmetry * std::max(values.at(r, r), values.at(c, c))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the Hessian is not symmetric: ", upper, " at row ", r, ", column ", c, " against ", lower));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HessianAccumulator> HessianAccumulator::Make(Backend& backend, std::int64_t cols) {
  HessianAccumulator accumulator(backend);
  GPTVQ_ASSIGN_OR_RETURN(accumulator.hessian_.matrix, DeviceMatrix<float>::Zeros(backend, cols, cols));
  return accumulator;
}

absl::Status HessianAccumulator::Add(ConstTensorView x) {
  if (x.cols != hessian_.matrix.cols()) {
    return absl::InvalidArgumentError(
        absl::StrCat("inputs of width ", x.cols, " for a Hessian of width ", hessian_.matrix.cols()));
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t skipped, backend_->quant().AccumulateHessian(x, hessian_.matrix.view()));
  hessian_.token_count += x.rows;
  hessian_.skipped_rows += skipped;
  return absl::OkStatus();
}

absl::StatusOr<Hessian> HessianAccumulator::Finish() && {
  if (hessian_.token_count == 0) return absl::FailedPreconditionError("no calibration token reached this input");
  if (static_cast<double>(hessian_.skipped_rows) > kMaxSkippedShare * static_cast<double>(hessian_.token_count)) {
    return absl::FailedPreconditionError(
        absl::StrCat(hessian_.skipped_rows, " of ", hessian_.token_count,
                     " calibration tokens have a NaN or an infinity in this input; the model overflows here"));
  }
  GPTVQ_RETURN_IF_ERROR(backend_->quant().Symmetrize(hessian_.matrix.view()));
  return std::move(hessian_);
}

absl::StatusOr<Hessian> HessianFromHost(Backend& backend, MatrixView<const float> values) {
  if (values.rows != values.cols) {
    return absl::InvalidArgumentError(
        absl::StrCat("a Hessian of ", values.rows, " x ", values.cols, " elements is not square"));
  }
  const std::int64_t cols = values.cols;
  std::vector<float> mean(static_cast<std::size_t>(cols * cols));
  for (std::int64_t r = 0; r < cols; ++r) {
    for (std::int64_t c = r; c < cols; ++c) {
      GPTVQ_RETURN_IF_ERROR(CheckElement(values, r, c));
      mean[r * cols + c] = mean[c * cols + r] = 0.5f * values.at(r, c) + 0.5f * values.at(c, r);
    }
  }
  Hessian hessian;
  GPTVQ_ASSIGN_OR_RETURN(hessian.matrix, DeviceMatrix<float>::FromHost(backend, mean.data(), cols, cols));
  return hessian;
}

}  // namespace gptvq
