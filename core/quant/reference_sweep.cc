#include "core/quant/reference_sweep.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/quant/block_scale.h"
#include "core/quant/column_sweep.h"

namespace gptvq {
namespace {

// The inverse of an upper triangular matrix, n x n row-major, from the last row up.
std::vector<double> InvertUpper(const std::vector<float>& v, std::int64_t n) {
  std::vector<double> u(v.size(), 0);
  for (std::int64_t i = n - 1; i >= 0; --i) {
    double* row = &u[i * n];
    row[i] = 1;
    for (std::int64_t k = i + 1; k < n; ++k) {
      const double factor = v[i * n + k];
      for (std::int64_t j = k; j < n; ++j) row[j] -= factor * u[k * n + j];
    }
    for (std::int64_t j = i; j < n; ++j) row[j] /= v[i * n + i];
  }
  return u;
}

class ReferenceSweep {
 public:
  ReferenceSweep(Backend& backend, const PreparedHessian& hessian, const EmOptions& em, VectorState& state)
      : backend_(backend), ops_(backend.quant()), em_(em), state_(state), cols_(hessian.cols()) {}

  absl::Status Prepare(const PreparedHessian& hessian) {
    std::vector<float> factor(static_cast<std::size_t>(cols_ * cols_));
    GPTVQ_RETURN_IF_ERROR(
        backend_.CopyBytesToHost(hessian.factor().data, factor.data(), factor.size() * sizeof(float)));
    const std::vector<double> u = InvertUpper(factor, cols_);
    feedback_host_.resize(factor.size());
    for (std::int64_t i = 0; i < cols_; ++i) {
      diagonal_.push_back(static_cast<float>(u[i * cols_ + i]));
      for (std::int64_t j = i; j < cols_; ++j) {
        feedback_host_[i * cols_ + j] = static_cast<float>(-u[i * cols_ + j] / u[i * cols_ + i]);
      }
    }
    GPTVQ_ASSIGN_OR_RETURN(feedback_, DeviceMatrix<float>::FromHost(backend_, feedback_host_.data(), cols_, cols_));
    const MatrixView<const float> weights = std::as_const(state_.weights).view();
    GPTVQ_ASSIGN_OR_RETURN(targets_, DeviceMatrix<float>::Allocate(backend_, weights.rows, weights.cols));
    GPTVQ_ASSIGN_OR_RETURN(stale_error_, DeviceMatrix<float>::Allocate(backend_, weights.rows, kBlockColumns));
    GPTVQ_ASSIGN_OR_RETURN(error_, DeviceMatrix<float>::Allocate(backend_, weights.rows, kBlockColumns));
    GPTVQ_ASSIGN_OR_RETURN(zeros_, DeviceMatrix<float>::Zeros(backend_, kBlockColumns, kBlockColumns));
    return backend_.CopyInside(weights, targets_.view());
  }

  absl::StatusOr<std::int64_t> Run(PhaseTimer& timer, PhaseSeconds& seconds) {
    for (const Stripe& stripe : state_.layout.stripes()) {
      const std::int64_t end = stripe.column_begin + stripe.column_count;
      GPTVQ_RETURN_IF_ERROR(ChooseBlockScales(stripe.column_begin, stripe.column_count));
      GPTVQ_RETURN_IF_ERROR(ChooseCodebooks(stripe));
      timer.Lap(seconds.clustering);
      for (std::int64_t begin = stripe.column_begin; begin < end; begin += kBlockColumns) {
        const std::int64_t width = std::min(kBlockColumns, end - begin);
        if (begin > stripe.column_begin) GPTVQ_RETURN_IF_ERROR(ChooseBlockScales(begin, width));
        GPTVQ_RETURN_IF_ERROR(SweepOneBlock(begin, width));
      }
      timer.Lap(seconds.sweep);
    }
    return em_iterations_;
  }

 private:
  bool scaled() const { return state_.block_scales.block_columns > 0; }

  absl::Status ChooseBlockScales(std::int64_t column_begin, std::int64_t column_count) {
    if (!scaled()) return absl::OkStatus();
    return FitBlockScales(backend_, state_.share, targets_.view().Cols(column_begin, column_count), column_begin,
                          state_.block_scales, state_.scales.view());
  }

  // EM sees x / scale with the weights of the columns alone, so the operation is given the quotient and no scales.
  absl::Status ChooseCodebooks(const Stripe& stripe) {
    const std::int64_t rows = state_.layout.rows();
    const MatrixView<float> targets = targets_.view().Cols(stripe.column_begin, stripe.column_count);
    std::vector<float> values(static_cast<std::size_t>(rows * stripe.column_count));
    const MatrixView<float> host(values.data(), rows, stripe.column_count);
    GPTVQ_RETURN_IF_ERROR(
        backend_.CopyToHost(TensorView(targets.data, DType::kF32, targets.rows, targets.cols, targets.stride), host));
    if (scaled()) DivideByScales(stripe.column_begin, host);
    GPTVQ_ASSIGN_OR_RETURN(auto normalised, DeviceMatrix<float>::FromHost(backend_, values.data(), rows, host.cols));

    std::vector<float> weights(static_cast<std::size_t>(stripe.column_count), 1.0f);
    if (state_.vector_dim > 1) {
      std::copy_n(diagonal_.begin() + stripe.column_begin, stripe.column_count, weights.begin());
    }
    VectorCode unscaled = state_.code();
    unscaled.block_scales = {};
    unscaled.block_scale_columns = 0;
    GPTVQ_ASSIGN_OR_RETURN(const EmResult result, ops_.ClusterStripe(unscaled, stripe, std::as_const(normalised).view(),
                                                                     weights, em_, state_.codebooks.view()));
    em_iterations_ = std::max(em_iterations_, result.iterations);
    return state_.RoundDeviceCodebooks(backend_, stripe.first_group, stripe.row_block_count);
  }

  void DivideByScales(std::int64_t column_begin, MatrixView<float> values) const {
    const std::int64_t block_columns = state_.block_scales.block_columns;
    const std::int64_t first = column_begin / block_columns;
    const std::int64_t count = (values.cols + block_columns - 1) / block_columns;
    std::vector<float> scales(static_cast<std::size_t>(values.rows * count));
    DecodeBlockScales(state_.block_scales, first, MatrixView<float>(scales.data(), values.rows, count));
    for (std::int64_t r = 0; r < values.rows; ++r) {
      for (std::int64_t c = 0; c < values.cols; ++c) values.at(r, c) /= scales[r * count + c / block_columns];
    }
  }

  absl::Status SweepOneBlock(std::int64_t begin, std::int64_t width) {
    const std::int64_t end = begin + width;
    const std::int64_t later = cols_ - end;
    GPTVQ_ASSIGN_OR_RETURN(const DeviceMatrix<float> metric, MetricFactor(begin, width));
    SweepBlock block;
    block.column_begin = begin;
    block.target = targets_.view().Cols(begin, width);
    block.weights = block.target;
    block.feedback = scaled() ? std::as_const(zeros_).view().Block(0, 0, width, width)
                              : std::as_const(feedback_).view().Block(begin, begin, width, width);
    block.metric_factor = metric.view();
    block.error_out = (scaled() ? stale_error_ : error_).view().Cols(0, width);
    GPTVQ_RETURN_IF_ERROR(
        ops_.SweepColumns(state_.code(), std::as_const(state_.codebooks).view(), block, state_.assignments.view())
            .status());
    if (scaled()) GPTVQ_RETURN_IF_ERROR(FreshErrors(begin, width));
    if (later == 0) return absl::OkStatus();
    return ops_.MatMul(1, std::as_const(error_).view().Cols(0, width), Transpose::kNo,
                       std::as_const(feedback_).view().Block(begin, end, width, later), Transpose::kNo, 1,
                       targets_.view().Cols(end, later));
  }

  absl::StatusOr<DeviceMatrix<float>> MetricFactor(std::int64_t begin, std::int64_t width) const {
    std::vector<float> metric(static_cast<std::size_t>(width * width), 0);
    for (std::int64_t i = 0; i < width; ++i) metric[i * width + i] = 1.0f / std::sqrt(diagonal_[begin + i]);
    return DeviceMatrix<float>::FromHost(backend_, metric.data(), width, width);
  }

  // With lookups in the stale targets t0, the errors e_P = t_P - q_P against the updated ones solve
  // E (I - S) = T0 - Q, S = M' restricted to the block, without what lies inside a vector.
  absl::Status FreshErrors(std::int64_t begin, std::int64_t width) {
    std::vector<float> system(static_cast<std::size_t>(width * width), 0);
    for (std::int64_t i = 0; i < width; ++i) {
      system[i * width + i] = 1;
      for (std::int64_t j = (i / state_.vector_dim + 1) * state_.vector_dim; j < width; ++j) {
        system[i * width + j] = -feedback_host_[(begin + i) * cols_ + begin + j];
      }
    }
    const std::vector<double> inverse = InvertUpper(system, width);
    const std::vector<float> narrow(inverse.begin(), inverse.end());
    GPTVQ_ASSIGN_OR_RETURN(const auto device, DeviceMatrix<float>::FromHost(backend_, narrow.data(), width, width));
    return ops_.MatMul(1, std::as_const(stale_error_).view().Cols(0, width), Transpose::kNo, device.view(),
                       Transpose::kNo, 0, error_.view().Cols(0, width));
  }

  Backend& backend_;
  QuantOps& ops_;
  const EmOptions& em_;
  VectorState& state_;
  const std::int64_t cols_;
  std::vector<float> diagonal_;       // U_jj
  std::vector<float> feedback_host_;  // M'
  DeviceMatrix<float> feedback_;
  DeviceMatrix<float> targets_;
  DeviceMatrix<float> stale_error_;
  DeviceMatrix<float> error_;
  DeviceMatrix<float> zeros_;
  std::int64_t em_iterations_ = 0;
};

}  // namespace

absl::StatusOr<std::int64_t> SweepLikeReference(Backend& backend, const PreparedHessian& hessian, const EmOptions& em,
                                                VectorState& state, PhaseTimer& timer, PhaseSeconds& seconds) {
  ReferenceSweep sweep(backend, hessian, em, state);
  GPTVQ_RETURN_IF_ERROR(sweep.Prepare(hessian));
  return sweep.Run(timer, seconds);
}

}  // namespace gptvq
