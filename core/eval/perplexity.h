#ifndef GPTVQ_CORE_EVAL_PERPLEXITY_H_
#define GPTVQ_CORE_EVAL_PERPLEXITY_H_

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/format/checkpoint.h"
#include "core/model/linear_source.h"
#include "core/model/model_config.h"

namespace gptvq {

// How well a model predicts given text. What is counted: the text is cut into windows of L tokens that do not overlap,
// each is read by the model from an empty context, and every token but the first of its window is predicted once from
// those before it in the window: L - 1 predictions a window, nothing added (no BOS unless the window holds one),
// nothing masked.
struct Perplexity {
  double mean_nll = 0;           // mean over all predictions of -ln p(token | tokens before it), nats
  std::int64_t token_count = 0;  // predictions: window_count * (L - 1)
  std::int64_t window_count = 0;

  double value() const { return std::exp(mean_nll); }
};

// A model to evaluate; borrowed, outlives the call. The linears of decoder layers come from `linears`, everything else
// from `checkpoint`.
struct EvaluatedModel {
  const ModelConfig& config;
  const Checkpoint& checkpoint;
  const LinearSource& linears;
};

struct PerplexityOptions {
  // Hidden states of as many windows as fit in here, at least one, go through the model together; more windows than
  // that make several passes, each of which reads all weights. 256 MiB hold 116 thousand tokens of SmolLM2-135M in f32.
  std::size_t max_activation_bytes = std::size_t{256} << 20;
};

// Told the finished fraction, 0 to 1, after every chunk of a layer and every tile of the vocabulary. A status other
// than OK ends the evaluation with that status.
using EvaluationObserver = absl::FunctionRef<absl::Status(double fraction)>;

// Perplexity of the model on `windows` [windows, L], token ids in host memory. Logits never all exist at once: the
// log-softmax is streamed over tiles of the vocabulary in f32; the mean is taken in f64, in order of tokens.
// Memory: the weights of one layer, the hidden states as the options say, scratch of one chunk, one tile of the head.
// Errors: InvalidArgument for no windows, L < 2, L above the model's positions or an id outside the vocabulary;
// Internal when a probability is not a number, naming the window; those of reading.
absl::StatusOr<Perplexity> EvaluatePerplexity(Backend& backend, const EvaluatedModel& model,
                                              MatrixView<const std::int32_t> windows, const PerplexityOptions& options,
                                              EvaluationObserver observe);

}  // namespace gptvq

#endif  // GPTVQ_CORE_EVAL_PERPLEXITY_H_
