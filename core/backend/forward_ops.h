#ifndef GPTVQ_CORE_BACKEND_FORWARD_OPS_H_
#define GPTVQ_CORE_BACKEND_FORWARD_OPS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/backend/tensor_view.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// Sequences of `sequence_length` tokens lie one after the other in the rows of every activation matrix:
// row = sequence * sequence_length + position. Never padded.
struct AttentionShape {
  std::int64_t sequence_length = 0;
  int head_count = 0;     // query heads
  int kv_head_count = 0;  // divides head_count; query head h reads key/value head h / (head_count / kv_head_count)
  int head_dim = 0;
  std::int64_t sliding_window = 0;  // 0: all earlier positions; w > 0: position i sees i - w + 1 .. i
  float score_scale = 0;            // multiplies q.k, usually 1 / sqrt(head_dim)
};

// What the streamed log-softmax keeps per token: with all vocabulary tiles seen, -log p(target) = max + log(sum) - target.
struct LogSumExpState {
  MatrixView<float> max;           // [T, 1]; begins at -infinity
  MatrixView<float> sum;           // [T, 1]; begins at 0; sum of exp(logit - max)
  MatrixView<float> target_logit;  // [T, 1]
};

// The forward pass of a decoder layer, op by op. T tokens, dtype of every TensorView = Backend::activation_dtype() but for Convert;
// products accumulate in f32 or better. All memory is the backend's. Thread-compatible: one caller at a time.
// Errors: InvalidArgument for shapes that do not fit (a bug of the caller that would corrupt memory), Internal for a device
// error. Deterministic: bitwise equal for any thread count and from run to run within one numerics class.
// Outputs never alias inputs unless the op says so.
class ForwardOps {
 public:
  virtual ~ForwardOps() = default;

  // y[t, r] = sum_c x[t, c] w[r, c] + bias[r]. x [T, C], w [R, C], y [T, R]; bias [1, R] f32, or empty (data null).
  virtual absl::Status Linear(ConstTensorView x, ConstTensorView w, MatrixView<const float> bias, TensorView y_out) = 0;

  // y[t, c] = x[t, c] / sqrt(mean_c x^2 + epsilon) * weight[c]; the mean in f32 or better. weight [1, C] f32. y may be x.
  virtual absl::Status RmsNorm(ConstTensorView x, MatrixView<const float> weight, double epsilon, TensorView y_out) = 0;

  // Per-head norms (Qwen3): each of the `head_count` pieces of head_dim columns of a row is normalised by itself, in place.
  virtual absl::Status RmsNormHeads(TensorView x, int head_count, MatrixView<const float> weight, double epsilon) = 0;

  // Rotary position embedding, rotate-half convention, in place: for head piece z of head_dim columns at position p and
  // i < head_dim / 2: (z_i, z_{i+h}) -> (z_i cos - z_{i+h} sin, z_{i+h} cos + z_i sin), h = head_dim / 2, angles from
  // row p of `cosines` and `sines`, both [sequence_length, head_dim / 2] f32. Position = row mod sequence_length.
  virtual absl::Status ApplyRotary(TensorView x, int head_count, MatrixView<const float> cosines,
                                   MatrixView<const float> sines) = 0;

  // Causal softmax attention. q, out [T, head_count * head_dim]; k, v [T, kv_head_count * head_dim]; T a multiple of the
  // sequence length. Scores never all exist at once.
  virtual absl::Status CausalAttention(ConstTensorView q, ConstTensorView k, ConstTensorView v,
                                       const AttentionShape& shape, TensorView out) = 0;

  // out = silu(gate) * up, silu(z) = z / (1 + exp(-z)). out may be gate or up.
  virtual absl::Status SwiGlu(ConstTensorView gate, ConstTensorView up, TensorView out) = 0;

  // y += x.
  virtual absl::Status AddInPlace(ConstTensorView x, TensorView y) = 0;

  // y = x in another type: weights as a checkpoint stores them. x f32, f16 or bf16; y f32 or the activation dtype. Exact where
  // y's type is the wider one, else rounded to nearest even. The only operation on other types.
  virtual absl::Status Convert(ConstTensorView x, TensorView y_out) = 0;

  // One tile of the vocabulary: logits of tokens first_token .. first_token + V - 1 from hidden [T, C] and their rows of
  // the output embedding `head` [V, C], folded into `state`. targets: T token ids in host memory.
  virtual absl::Status AccumulateLogSumExp(ConstTensorView hidden, ConstTensorView head, std::int64_t first_token,
                                           absl::Span<const std::int32_t> targets, LogSumExpState state) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_FORWARD_OPS_H_
