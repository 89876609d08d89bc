#include "core/eval/perplexity.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/device_matrix.h"
#include "core/base/status_macros.h"
#include "core/model/activations.h"
#include "core/model/decoder_layer.h"
#include "core/model/embedding.h"
#include "core/model/layer_forward.h"
#include "core/model/output_head.h"

namespace gptvq {
namespace {

// The share of `total` steps that are done, told to the observer step by step.
class ProgressCounter {
 public:
  ProgressCounter(std::int64_t total, EvaluationObserver observe) : total_(total), observe_(observe) {}
  absl::Status Step() { return observe_(static_cast<double>(++done_) / static_cast<double>(total_)); }

 private:
  const std::int64_t total_;
  const EvaluationObserver observe_;
  std::int64_t done_ = 0;
};

// The token that each row predicts; the last position of a window predicts nothing, its entry is not read.
std::vector<std::int32_t> NextTokens(MatrixView<const std::int32_t> windows) {
  std::vector<std::int32_t> next(static_cast<std::size_t>(windows.rows * windows.cols), 0);
  for (std::int64_t w = 0; w < windows.rows; ++w) {
    std::copy_n(windows.row(w) + 1, windows.cols - 1, next.begin() + w * windows.cols);
  }
  return next;
}

// Per row, what the streamed log-softmax ends with.
struct RowLogSumExp {
  std::vector<float> max, sum, target_logit;
};

absl::StatusOr<RowLogSumExp> StreamHead(Backend& backend, const EvaluatedModel& model, const Activations& normed,
                                        absl::Span<const std::int32_t> targets, ProgressCounter& progress) {
  const std::int64_t tokens = normed.token_count();
  // A target that no tile holds would leave its NaN in place.
  std::vector<float> initial(static_cast<std::size_t>(tokens), std::numeric_limits<float>::quiet_NaN());
  GPTVQ_ASSIGN_OR_RETURN(auto target_logit, DeviceMatrix<float>::FromHost(backend, initial.data(), tokens, 1));
  std::fill(initial.begin(), initial.end(), -std::numeric_limits<float>::infinity());
  GPTVQ_ASSIGN_OR_RETURN(auto max, DeviceMatrix<float>::FromHost(backend, initial.data(), tokens, 1));
  GPTVQ_ASSIGN_OR_RETURN(auto sum, DeviceMatrix<float>::Zeros(backend, tokens, 1));

  GPTVQ_RETURN_IF_ERROR(ForEachHeadTile(
      backend, model.config, model.checkpoint, [&](std::int64_t first_token, ConstTensorView head) -> absl::Status {
        for (std::int64_t row = 0; row < tokens; row += kChunkTokens) {
          const std::int64_t count = std::min(kChunkTokens, tokens - row);
          const LogSumExpState state = {max.view().Rows(row, count), sum.view().Rows(row, count),
                                        target_logit.view().Rows(row, count)};
          GPTVQ_RETURN_IF_ERROR(backend.forward().AccumulateLogSumExp(normed.view().Rows(row, count), head, first_token,
                                                                      targets.subspan(row, count), state));
        }
        return progress.Step();
      }));
  RowLogSumExp rows;
  GPTVQ_ASSIGN_OR_RETURN(rows.max, max.ToHost(backend));
  GPTVQ_ASSIGN_OR_RETURN(rows.sum, sum.ToHost(backend));
  GPTVQ_ASSIGN_OR_RETURN(rows.target_logit, target_logit.ToHost(backend));
  return rows;
}

// -ln p summed over the predictions of some windows; `first_window` is for the message.
absl::StatusOr<double> SumNll(Backend& backend, const EvaluatedModel& model, LayerForward& forward,
                              MatrixView<const std::int32_t> windows, std::int64_t first_window,
                              ProgressCounter& progress) {
  GPTVQ_ASSIGN_OR_RETURN(Activations x, EmbedTokens(backend, model.config, model.checkpoint, windows));
  for (int index = 0; index < model.config.layer_count; ++index) {
    GPTVQ_ASSIGN_OR_RETURN(const DecoderLayer layer,
                           DecoderLayer::Load(backend, model.config, model.checkpoint, model.linears, index));
    GPTVQ_RETURN_IF_ERROR(forward.Run(layer, x, [&](LayerInput input, ConstTensorView) {
      return input == LayerInput::kMlpProduct ? progress.Step() : absl::OkStatus();
    }));
  }
  GPTVQ_RETURN_IF_ERROR(ApplyFinalNorm(backend, model.config, model.checkpoint, x));
  GPTVQ_ASSIGN_OR_RETURN(const RowLogSumExp rows, StreamHead(backend, model, x, NextTokens(windows), progress));

  double sum = 0;
  for (std::int64_t w = 0; w < windows.rows; ++w) {
    for (std::int64_t row = w * windows.cols; row < (w + 1) * windows.cols - 1; ++row) {
      sum += double{rows.max[row]} + std::log(double{rows.sum[row]}) - double{rows.target_logit[row]};
    }
    if (!std::isfinite(sum)) {
      return absl::InternalError(absl::StrCat("the model's output for window ", first_window + w, " is not a number"));
    }
  }
  return sum;
}

}  // namespace

absl::StatusOr<Perplexity> EvaluatePerplexity(Backend& backend, const EvaluatedModel& model,
                                              MatrixView<const std::int32_t> windows, const PerplexityOptions& options,
                                              EvaluationObserver observe) {
  if (windows.rows < 1 || windows.cols < 2) {
    return absl::InvalidArgumentError(absl::StrCat("perplexity needs a window of two tokens at least, got ",
                                                   windows.rows, " windows of ", windows.cols));
  }
  GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, LayerForward::Create(backend, model.config, windows.cols));
  const std::int64_t window_bytes =
      windows.cols * model.config.hidden_size * static_cast<std::int64_t>(DTypeBytes(backend.activation_dtype()));
  const std::int64_t batch =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(options.max_activation_bytes) / window_bytes, 1, windows.rows);

  std::int64_t steps = 0;
  for (std::int64_t first = 0; first < windows.rows; first += batch) {
    steps += forward.ChunkCount(std::min(batch, windows.rows - first)) * model.config.layer_count +
             HeadTileCount(model.config);
  }
  ProgressCounter progress(steps, observe);
  double sum = 0;
  for (std::int64_t first = 0; first < windows.rows; first += batch) {
    const MatrixView<const std::int32_t> some = windows.Rows(first, std::min(batch, windows.rows - first));
    GPTVQ_ASSIGN_OR_RETURN(const double batch_sum, SumNll(backend, model, forward, some, first, progress));
    sum += batch_sum;
  }
  Perplexity result;
  result.window_count = windows.rows;
  result.token_count = windows.rows * (windows.cols - 1);
  result.mean_nll = sum / static_cast<double>(result.token_count);
  return result;
}

}  // namespace gptvq
