#include "core/cpu/cpu_forward_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/backend/forward_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/tiled_product.h"

namespace gptvq {
namespace {

// Rows per task of the operations that touch every element once.
constexpr std::int64_t kRowsPerTask = 16;

void ForEachRow(WorkerPool& pool, std::int64_t rows, absl::FunctionRef<void(std::int64_t)> body) {
  pool.ParallelFor((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (std::int64_t r = task * kRowsPerTask; r < std::min(rows, (task + 1) * kRowsPerTask); ++r) body(r);
  });
}

void NormalizePiece(const float* x, std::int64_t count, const float* weight, double epsilon, float* y_out) {
  double sum = 0;
  for (std::int64_t c = 0; c < count; ++c) sum += static_cast<double>(x[c]) * x[c];
  const auto factor = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(count) + epsilon));
  for (std::int64_t c = 0; c < count; ++c) y_out[c] = x[c] * factor * weight[c];
}

}  // namespace

absl::Status CpuForwardOps::Linear(ConstTensorView x_tensor, ConstTensorView w_tensor, MatrixView<const float> bias,
                                   TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckLinear(DType::kF32, x_tensor, w_tensor, bias, y_tensor));
  const auto x = x_tensor.As<const float>();
  const auto w = w_tensor.As<const float>();
  const auto y = y_tensor.As<float>();
  ForEachTile(pool_, y.rows, y.cols, [&](const Tile& tile) {
    const MatrixView<float> target = y.Block(tile.row, tile.col, tile.row_count, tile.col_count);
    Gemm(1.0f, x.Rows(tile.row, tile.row_count), Transpose::kNo, w.Rows(tile.col, tile.col_count), Transpose::kYes,
         0.0f, target);
    if (bias.data == nullptr) return;
    for (std::int64_t r = 0; r < target.rows; ++r) {
      for (std::int64_t c = 0; c < target.cols; ++c) target.at(r, c) += bias.data[tile.col + c];
    }
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::RmsNorm(ConstTensorView x_tensor, MatrixView<const float> weight, double epsilon,
                                    TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckRmsNorm(DType::kF32, x_tensor, weight, y_tensor));
  const auto x = x_tensor.As<const float>();
  const auto y = y_tensor.As<float>();
  ForEachRow(pool_, x.rows,
             [&](std::int64_t r) { NormalizePiece(x.row(r), x.cols, weight.data, epsilon, y.row(r)); });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::RmsNormHeads(TensorView x_tensor, int head_count, MatrixView<const float> weight,
                                         double epsilon) {
  GPTVQ_RETURN_IF_ERROR(CheckRmsNormHeads(DType::kF32, x_tensor, head_count, weight));
  const auto x = x_tensor.As<float>();
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    for (int head = 0; head < head_count; ++head) {
      float* piece = x.row(r) + head * weight.cols;
      NormalizePiece(piece, weight.cols, weight.data, epsilon, piece);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::ApplyRotary(TensorView x_tensor, int head_count, MatrixView<const float> cosines,
                                        MatrixView<const float> sines) {
  GPTVQ_RETURN_IF_ERROR(CheckApplyRotary(DType::kF32, x_tensor, head_count, cosines, sines));
  const auto x = x_tensor.As<float>();
  const std::int64_t half = cosines.cols;
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    const float* cosine = cosines.row(r % cosines.rows);
    const float* sine = sines.row(r % cosines.rows);
    for (int head = 0; head < head_count; ++head) {
      float* low = x.row(r) + head * 2 * half;
      float* high = low + half;
      for (std::int64_t i = 0; i < half; ++i) {
        const float a = low[i];
        const float b = high[i];
        low[i] = a * cosine[i] - b * sine[i];
        high[i] = b * cosine[i] + a * sine[i];
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::SwiGlu(ConstTensorView gate_tensor, ConstTensorView up_tensor, TensorView out_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckSwiGlu(DType::kF32, gate_tensor, up_tensor, out_tensor));
  const auto gate = gate_tensor.As<const float>();
  const auto up = up_tensor.As<const float>();
  const auto out = out_tensor.As<float>();
  ForEachRow(pool_, out.rows, [&](std::int64_t r) {
    for (std::int64_t c = 0; c < out.cols; ++c) {
      const float z = gate.at(r, c);
      out.at(r, c) = z / (1.0f + std::exp(-z)) * up.at(r, c);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::AddInPlace(ConstTensorView x_tensor, TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckAddInPlace(DType::kF32, x_tensor, y_tensor));
  const auto x = x_tensor.As<const float>();
  const auto y = y_tensor.As<float>();
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    for (std::int64_t c = 0; c < x.cols; ++c) y.at(r, c) += x.at(r, c);
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::AccumulateLogSumExp(ConstTensorView hidden_tensor, ConstTensorView head_tensor,
                                                std::int64_t first_token, absl::Span<const std::int32_t> targets,
                                                LogSumExpState state) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateLogSumExp(DType::kF32, hidden_tensor, head_tensor, targets, state));
  const auto hidden = hidden_tensor.As<const float>();
  const auto head = head_tensor.As<const float>();
  constexpr std::int64_t kTokens = 64;
  pool_.ParallelFor((hidden.rows + kTokens - 1) / kTokens, [&](std::int64_t task) {
    const std::int64_t begin = task * kTokens;
    const std::int64_t count = std::min(kTokens, hidden.rows - begin);
    std::vector<float> scratch(static_cast<std::size_t>(count * head.rows));
    const MatrixView<float> logits(scratch.data(), count, head.rows);
    Gemm(1.0f, hidden.Rows(begin, count), Transpose::kNo, head, Transpose::kYes, 0.0f, logits);
    for (std::int64_t t = 0; t < count; ++t) {
      const float* row = logits.row(t);
      float& max = state.max.at(begin + t, 0);
      float& sum = state.sum.at(begin + t, 0);
      const float new_max = std::max(max, head.rows == 0 ? max : *std::max_element(row, row + head.rows));
      if (new_max > -std::numeric_limits<float>::infinity()) {
        float tile_sum = 0;
        for (std::int64_t v = 0; v < head.rows; ++v) tile_sum += std::exp(row[v] - new_max);
        sum = sum * std::exp(max - new_max) + tile_sum;
        max = new_max;
      }
      const std::int64_t target = targets[begin + t] - first_token;
      if (target >= 0 && target < head.rows) state.target_logit.at(begin + t, 0) = row[target];
    }
  });
  return absl::OkStatus();
}

}  // namespace gptvq
