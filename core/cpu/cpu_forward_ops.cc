#include "core/cpu/cpu_forward_ops.h"

#include <algorithm>
#include <cmath>

#include "core/backend/forward_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/parallel_rows.h"
#include "core/cpu/row_kernels.h"

namespace gptvq {
namespace {

void NormalizePiece(const float* x, std::int64_t count, const float* weight, double epsilon, float* y_out) {
  const double mean_square = RowDot(x, x, count) / static_cast<double>(count);
  NormalizeRow(x, weight, static_cast<float>(1.0 / std::sqrt(mean_square + epsilon)), count, y_out);
}

// Rotates the pairs (low[i], high[i]); the halves of one head, which do not overlap.
void RotatePairs(const float* __restrict cosines, const float* __restrict sines, std::int64_t count,
                 float* __restrict low, float* __restrict high) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float a = low[i];
    const float b = high[i];
    low[i] = a * cosines[i] - b * sines[i];
    high[i] = b * cosines[i] + a * sines[i];
  }
}

// Folds a row of logits, of the tokens from first_token on, into the state of token t. The row is overwritten.
void FoldLogits(float* logits, std::int64_t count, std::int64_t first_token, std::int32_t target, std::int64_t t,
                LogSumExpState& state) {
  const std::int64_t index = target - first_token;
  if (index >= 0 && index < count) state.target_logit.at(t, 0) = logits[index];
  float& max = state.max.at(t, 0);
  float& sum = state.sum.at(t, 0);
  const float new_max = std::max(max, RowMax(logits, count));
  sum = sum * std::exp(max - new_max) + ExpRow(logits, count, new_max);
  max = new_max;
}

}  // namespace

absl::Status CpuForwardOps::Linear(ConstTensorView x_tensor, ConstTensorView w_tensor, MatrixView<const float> bias,
                                   TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckLinear(DType::kF32, x_tensor, w_tensor, bias, y_tensor));
  const auto x = x_tensor.As<const float>();
  const auto w = w_tensor.As<const float>();
  const auto y = y_tensor.As<float>();
  sgemm_.Multiply(1.0f, {x, Transpose::kNo}, {w, Transpose::kYes}, 0.0f, y);
  if (bias.data != nullptr) {
    ForEachRow(pool_, y.rows, [&](std::int64_t r) {
      for (std::int64_t c = 0; c < y.cols; ++c) y.at(r, c) += bias.data[c];
    });
  }
  return absl::OkStatus();
}

absl::Status CpuForwardOps::RmsNorm(ConstTensorView x_tensor, MatrixView<const float> weight, double epsilon,
                                    TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckRmsNorm(DType::kF32, x_tensor, weight, y_tensor));
  const auto x = x_tensor.As<const float>();
  const auto y = y_tensor.As<float>();
  ForEachRow(pool_, x.rows, [&](std::int64_t r) { NormalizePiece(x.row(r), x.cols, weight.data, epsilon, y.row(r)); });
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
      float* piece = x.row(r) + head * 2 * half;
      RotatePairs(cosine, sine, half, piece, piece + half);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::SwiGlu(ConstTensorView gate_tensor, ConstTensorView up_tensor, TensorView out_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckSwiGlu(DType::kF32, gate_tensor, up_tensor, out_tensor));
  const auto gate = gate_tensor.As<const float>();
  const auto up = up_tensor.As<const float>();
  const auto out = out_tensor.As<float>();
  ForEachRow(pool_, out.rows, [&](std::int64_t r) { SwiGluRow(gate.row(r), up.row(r), out.cols, out.row(r)); });
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

absl::Status CpuForwardOps::Convert(ConstTensorView x, TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckConvert(DType::kF32, x, y_tensor));
  const auto y = y_tensor.As<float>();
  const std::size_t row_bytes = static_cast<std::size_t>(x.cols) * DTypeBytes(x.dtype);
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    DecodeToFloat(x.dtype, {static_cast<const std::byte*>(x.Rows(r, 1).data), row_bytes},
                  absl::MakeSpan(y.row(r), static_cast<std::size_t>(y.cols)));
  });
  return absl::OkStatus();
}

absl::Status CpuForwardOps::AccumulateLogSumExp(ConstTensorView hidden_tensor, ConstTensorView head_tensor,
                                                std::int64_t first_token, absl::Span<const std::int32_t> targets,
                                                LogSumExpState state) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateLogSumExp(DType::kF32, hidden_tensor, head_tensor, targets, state));
  const auto hidden = hidden_tensor.As<const float>();
  const auto head = head_tensor.As<const float>();
  constexpr std::int64_t kTokens = 512;  // logits that exist at a time: 512 x 1024, 2 MiB
  constexpr std::int64_t kVocabulary = 1024;
  float* scratch = logits_.Floats(kTokens * kVocabulary);
  for (std::int64_t token = 0; token < hidden.rows; token += kTokens) {
    const std::int64_t token_count = std::min(kTokens, hidden.rows - token);
    for (std::int64_t entry = 0; entry < head.rows; entry += kVocabulary) {
      const MatrixView<float> logits(scratch, token_count, std::min(kVocabulary, head.rows - entry));
      sgemm_.Multiply(1.0f, {hidden.Rows(token, token_count), Transpose::kNo},
                      {head.Rows(entry, logits.cols), Transpose::kYes}, 0.0f, logits);
      ForEachRow(pool_, token_count, [&](std::int64_t t) {
        FoldLogits(logits.row(t), logits.cols, first_token + entry, targets[token + t], token + t, state);
      });
    }
  }
  return absl::OkStatus();
}

}  // namespace gptvq
