#include "core/quant/hessian.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/hessian_panels.h"
#include "core/base/check.h"
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

absl::StatusOr<HessianAccumulator> HessianAccumulator::Make(Backend& backend, std::int64_t cols,
                                                            const Communicator& ranks) {
  HessianAccumulator accumulator(backend, ranks);
  GPTVQ_ASSIGN_OR_RETURN(accumulator.hessian_.matrix, DeviceMatrix<float>::Zeros(backend, cols, cols));
  const std::vector<IndexRange> panels = HessianPanels(cols);
  for (std::int64_t panel : HessianPanelsOf(ranks.rank(), ranks.size(), std::ssize(panels))) {
    accumulator.own_panels_.push_back(panels[panel]);
  }
  return accumulator;
}

absl::Status HessianAccumulator::Add(ConstTensorView x) {
  if (x.cols != hessian_.matrix.cols()) {
    return absl::InvalidArgumentError(
        absl::StrCat("inputs of width ", x.cols, " for a Hessian of width ", hessian_.matrix.cols()));
  }
  const bool is_alone = ranks_.size() == 1;
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t skipped,
                         is_alone ? backend_->quant().AccumulateHessian(x, hessian_.matrix.view())
                                  : backend_->quant().AccumulateHessianPanels(x, own_panels_, hessian_.matrix.view()));
  hessian_.token_count += x.rows;
  hessian_.skipped_rows += skipped;
  return absl::OkStatus();
}

absl::Status HessianAccumulator::AddRound(ConstTensorView own, absl::Span<const std::int64_t> row_counts) {
  GPTVQ_CHECK(std::ssize(row_counts) == ranks_.size() && own.rows == row_counts[ranks_.rank()]);
  if (ranks_.size() == 1) return Add(own);
  GPTVQ_CHECK(own.rows == 0 || own.stride == own.cols);
  const std::int64_t most_rows = *std::max_element(row_counts.begin(), row_counts.end());
  if (received_.rows() < most_rows) {
    GPTVQ_ASSIGN_OR_RETURN(received_, DeviceTensor::Allocate(*backend_, most_rows, hessian_.matrix.cols()));
  }
  for (int root = 0; root < ranks_.size(); ++root) {
    if (row_counts[root] == 0) continue;
    const TensorView received = received_.view().Rows(0, row_counts[root]);
    const ConstTensorView batch = root == ranks_.rank() ? own : ConstTensorView(received);
    const std::size_t bytes = static_cast<std::size_t>(batch.rows * batch.cols) * DTypeBytes(batch.dtype);
    // The root only reads.
    GPTVQ_RETURN_IF_ERROR(ranks_.Broadcast(root, const_cast<void*>(batch.data), bytes));
    GPTVQ_RETURN_IF_ERROR(Add(batch));
  }
  return absl::OkStatus();
}

// Panel by panel through packed memory, as the columns of a panel do not lie side by side.
absl::Status HessianAccumulator::ExchangePanels() {
  const std::int64_t cols = hessian_.matrix.cols();
  const std::vector<IndexRange> panels = HessianPanels(cols);
  GPTVQ_ASSIGN_OR_RETURN(auto packed, DeviceMatrix<float>::Allocate(*backend_, cols, panels.front().count()));
  for (int root = 0; root < ranks_.size(); ++root) {
    for (std::int64_t i : HessianPanelsOf(root, ranks_.size(), std::ssize(panels))) {
      const IndexRange panel = panels[i];
      const MatrixView<float> in_place = hessian_.matrix.view().Block(0, panel.begin, panel.end, panel.count());
      const MatrixView<float> sent(packed.view().data, panel.end, panel.count());
      if (root == ranks_.rank()) GPTVQ_RETURN_IF_ERROR(backend_->CopyInside(in_place, sent));
      GPTVQ_RETURN_IF_ERROR(
          ranks_.Broadcast(root, sent.data, static_cast<std::size_t>(sent.rows * sent.cols) * sizeof(float)));
      if (root != ranks_.rank()) GPTVQ_RETURN_IF_ERROR(backend_->CopyInside(sent, in_place));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Hessian> HessianAccumulator::Finish() && {
  if (hessian_.token_count == 0) return absl::FailedPreconditionError("no calibration token reached this input");
  if (static_cast<double>(hessian_.skipped_rows) > kMaxSkippedShare * static_cast<double>(hessian_.token_count)) {
    return absl::FailedPreconditionError(
        absl::StrCat(hessian_.skipped_rows, " of ", hessian_.token_count,
                     " calibration tokens have a NaN or an infinity in this input; the model overflows here"));
  }
  if (ranks_.size() > 1) GPTVQ_RETURN_IF_ERROR(ExchangePanels());
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
