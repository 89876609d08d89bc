#ifndef GPTVQ_CORE_MODEL_LAYER_FORWARD_H_
#define GPTVQ_CORE_MODEL_LAYER_FORWARD_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/model/activations.h"
#include "core/model/decoder_layer.h"
#include "core/model/linear_role.h"
#include "core/model/model_config.h"
#include "core/model/rotary.h"

namespace gptvq {

// Told the rows [tokens, width] that reach one of a layer's inputs, a chunk of whole sequences at a time, in order of
// samples. The view is valid during the call. A status other than OK ends the pass with that status.
using InputObserver = absl::FunctionRef<absl::Status(LayerInput input, ConstTensorView rows)>;

// How many tokens go through a layer together: whole sequences, as many as fit, at least one. A constant, because what
// a product rounds may depend on the number of its rows: results must not depend on the machine. 2048 rows keep matrix
// products near their roof on CPU and GPU; scratch per chunk is then
//   2048 * (2 hidden + 2 query_width + 2 kv_width + 2 intermediate) elements: 45 MiB for SmolLM2-135M and 368 MiB for
// Llama-3-8B in f32, 360 MiB for a 70B model in bf16.
inline constexpr std::int64_t kChunkTokens = 2048;

// The samples of a chunk.
std::int64_t ChunkSamples(std::int64_t sequence_length);

// Runs decoder layers of one model over activations of one sequence length, against ForwardOps. One code path serves
// plain evaluation, capture and both orders of calibration:
//   plain             Run: every product once, x in place.
//   one-pass order    ObserveInputs: all four inputs of the layer as it stands, x unchanged; then quantize; then Run.
//   true sequential   SequentialPass below: stops at each input, so that the linears before it can be replaced first.
// Owns rotary tables and the scratch of one chunk; borrows backend and config, which outlive it. Thread-compatible.
// Deterministic: bitwise equal for any thread count within one numerics class, and equal between the three ways above
// for the same weights.
class LayerForward {
 public:
  // Errors: InvalidArgument for a sequence longer than the model's positions; ResourceExhausted.
  static absl::StatusOr<LayerForward> Create(Backend& backend, const ModelConfig& config, std::int64_t sequence_length);

  // Chunks in which that many samples go through a layer: how often each input is observed.
  std::int64_t ChunkCount(std::int64_t sample_count) const {
    return (sample_count + chunk_samples_ - 1) / chunk_samples_;
  }

  // x := layer(x). The observer sees all inputs of a chunk, in order of LayerInput, before the next chunk begins.
  absl::Status Run(const DecoderLayer& layer, Activations& x, InputObserver observe);

  // The same without the last product, x unchanged.
  absl::Status ObserveInputs(const DecoderLayer& layer, const Activations& x, InputObserver observe);

 private:
  friend class SequentialPass;

  LayerForward(Backend& backend, const ModelConfig& config) : backend_(&backend), config_(&config) {}

  // The steps between two inputs, for the rows of one chunk. Outputs have as many rows as the input.
  absl::Status Norm(const DecoderLayer& layer, LayerNorm norm, ConstTensorView x, TensorView out);
  absl::Status Attend(const DecoderLayer& layer, ConstTensorView x, TensorView out);
  absl::Status GateUp(const DecoderLayer& layer, ConstTensorView x, TensorView out);
  absl::Status Project(const DecoderLayer& layer, LinearRole role, ConstTensorView x, TensorView out);

  // Calls body(first sample, sample count) for all chunks in order.
  absl::Status ForEachChunk(const Activations::Shape& shape,
                            absl::FunctionRef<absl::Status(std::int64_t, std::int64_t)> body) const;

  // All four inputs of one chunk. Leaves x + attention in residual_ and the last input in gate_.
  absl::Status WalkChunk(const DecoderLayer& layer, ConstTensorView x, InputObserver observe);

  Backend* backend_;
  const ModelConfig* config_;
  std::int64_t sequence_length_ = 0;
  std::int64_t chunk_samples_ = 0;
  RotaryTables rotary_;

  // Scratch, [chunk tokens, width].
  DeviceTensor normed_, residual_;
  DeviceTensor query_, key_, value_, heads_;
  DeviceTensor gate_, up_;
};

// What a SequentialPass keeps beside the activations.
struct SequentialPassOptions {
  // The MLP product of all tokens, [T, intermediate_size], is kept between the last two stages when it is not larger
  // than this; otherwise gate and up are computed a second time. That adds 2 hidden * intermediate multiplications per
  // token to a layer's 2 hidden * (query_width + kv_width) + 3 hidden * intermediate, about half. The result is the
  // same.
  std::size_t max_kept_product_bytes = std::size_t{256} << 20;
};

// One layer, stage by stage, in calibration order:
//
//   GPTVQ_ASSIGN_OR_RETURN(auto pass, SequentialPass::Begin(forward, layer, x, {}));
//   for (LayerInput input : kLayerInputs) {
//     GPTVQ_RETURN_IF_ERROR(pass.Visit(input, observe));  // all rows that reach `input`, with the present weights
//     for (LinearRole role : LinearsAt(input)) write the quantized weight to layer.Replace(role);
//   }
//   GPTVQ_RETURN_IF_ERROR(pass.Finish());                 // x := layer(x)
//
// Every product runs once (but see max_kept_product_bytes); norms are recomputed where they are read twice. Memory: the
// attention output of all tokens [T, query_width], the MLP product as the options say, LayerForward's scratch.
// Borrows forward, layer and x. From Visit(kMlp) to Finish() x holds the sum of its input and the attention's output.
class SequentialPass {
 public:
  // Errors: ResourceExhausted.
  static absl::StatusOr<SequentialPass> Begin(LayerForward& forward, const DecoderLayer& layer, Activations& x,
                                              const SequentialPassOptions& options);

  // Preconditions: each input once, in order of LayerInput.
  absl::Status Visit(LayerInput input, InputObserver observe);

  // Precondition: all inputs were visited.
  absl::Status Finish();

 private:
  SequentialPass(LayerForward& forward, const DecoderLayer& layer, Activations& x)
      : forward_(forward), layer_(layer), x_(x) {}

  // Whole samples of x, and where their rows lie in tensors that hold all tokens.
  struct Chunk {
    TensorView x;
    std::int64_t first_row;
    TensorView RowsOf(DeviceTensor& tensor) const { return tensor.view().Rows(first_row, x.rows); }
  };

  absl::Status ForEachChunk(absl::FunctionRef<absl::Status(const Chunk&)> body);
  // Computes what reaches `input` from x and from what earlier stages kept.
  absl::StatusOr<ConstTensorView> RowsAt(LayerInput input, const Chunk& chunk);
  absl::Status ComputeProduct(const Chunk& chunk, TensorView product_out);

  LayerForward& forward_;
  const DecoderLayer& layer_;
  Activations& x_;
  int visited_ = 0;
  bool keeps_product_ = false;
  DeviceTensor heads_;    // [T, query_width]
  DeviceTensor product_;  // [T, intermediate_size] if keeps_product_
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_LAYER_FORWARD_H_
