#include "core/model/layer_forward.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// The first rows of a scratch tensor, as many as the chunk has.
TensorView Top(DeviceTensor& scratch, std::int64_t rows) { return scratch.view().Rows(0, rows); }

}  // namespace

std::int64_t ChunkSamples(std::int64_t sequence_length) {
  return std::max<std::int64_t>(kChunkTokens / sequence_length, 1);
}

absl::StatusOr<LayerForward> LayerForward::Create(Backend& backend, const ModelConfig& config,
                                                  std::int64_t sequence_length) {
  LayerForward forward(backend, config);
  GPTVQ_ASSIGN_OR_RETURN(forward.rotary_, RotaryTables::Create(backend, config, sequence_length));
  forward.sequence_length_ = sequence_length;
  forward.chunk_samples_ = ChunkSamples(sequence_length);
  const std::int64_t rows = forward.chunk_samples_ * sequence_length;
  const auto allocate = [&](DeviceTensor& tensor, std::int64_t width) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(tensor, DeviceTensor::Allocate(backend, rows, width));
    return absl::OkStatus();
  };
  for (DeviceTensor* tensor : {&forward.normed_, &forward.residual_}) {
    GPTVQ_RETURN_IF_ERROR(allocate(*tensor, config.hidden_size));
  }
  for (DeviceTensor* tensor : {&forward.query_, &forward.heads_}) {
    GPTVQ_RETURN_IF_ERROR(allocate(*tensor, config.query_width()));
  }
  for (DeviceTensor* tensor : {&forward.key_, &forward.value_}) {
    GPTVQ_RETURN_IF_ERROR(allocate(*tensor, config.kv_width()));
  }
  for (DeviceTensor* tensor : {&forward.gate_, &forward.up_}) {
    GPTVQ_RETURN_IF_ERROR(allocate(*tensor, config.intermediate_size));
  }
  return forward;
}

absl::Status LayerForward::Run(const DecoderLayer& layer, Activations& x, InputObserver observe) {
  return ForEachChunk(x.shape(), [&](std::int64_t first, std::int64_t count) -> absl::Status {
    const TensorView chunk = x.Samples(first, count);
    GPTVQ_RETURN_IF_ERROR(WalkChunk(layer, chunk, observe));
    GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kDown, Top(gate_, chunk.rows), chunk));
    return backend_->forward().AddInPlace(Top(residual_, chunk.rows), chunk);
  });
}

absl::Status LayerForward::ObserveInputs(const DecoderLayer& layer, const Activations& x, InputObserver observe) {
  return ForEachChunk(x.shape(), [&](std::int64_t first, std::int64_t count) {
    return WalkChunk(layer, x.Samples(first, count), observe);
  });
}

absl::Status LayerForward::WalkChunk(const DecoderLayer& layer, ConstTensorView x, InputObserver observe) {
  const TensorView normed = Top(normed_, x.rows);
  GPTVQ_RETURN_IF_ERROR(Norm(layer, LayerNorm::kAttention, x, normed));
  GPTVQ_RETURN_IF_ERROR(observe(LayerInput::kAttention, normed));

  const TensorView heads = Top(heads_, x.rows);
  GPTVQ_RETURN_IF_ERROR(Attend(layer, normed, heads));
  GPTVQ_RETURN_IF_ERROR(observe(LayerInput::kAttentionOutput, heads));

  const TensorView residual = Top(residual_, x.rows);
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kO, heads, residual));
  GPTVQ_RETURN_IF_ERROR(backend_->forward().AddInPlace(x, residual));
  GPTVQ_RETURN_IF_ERROR(Norm(layer, LayerNorm::kMlp, residual, normed));
  GPTVQ_RETURN_IF_ERROR(observe(LayerInput::kMlp, normed));

  const TensorView product = Top(gate_, x.rows);
  GPTVQ_RETURN_IF_ERROR(GateUp(layer, normed, product));
  return observe(LayerInput::kMlpProduct, product);
}

absl::Status LayerForward::ForEachChunk(const Activations::Shape& shape,
                                        absl::FunctionRef<absl::Status(std::int64_t, std::int64_t)> body) const {
  GPTVQ_CHECK(shape.sequence_length == sequence_length_ && shape.hidden_size == config_->hidden_size);
  for (std::int64_t first = 0; first < shape.sample_count; first += chunk_samples_) {
    GPTVQ_RETURN_IF_ERROR(body(first, std::min(chunk_samples_, shape.sample_count - first)));
  }
  return absl::OkStatus();
}

absl::Status LayerForward::Norm(const DecoderLayer& layer, LayerNorm norm, ConstTensorView x, TensorView out) {
  return backend_->forward().RmsNorm(x, layer.norm(norm), config_->rms_norm_epsilon, out);
}

absl::Status LayerForward::Project(const DecoderLayer& layer, LinearRole role, ConstTensorView x, TensorView out) {
  return backend_->forward().Linear(x, layer.weight(role), layer.bias(role), out);
}

absl::Status LayerForward::Attend(const DecoderLayer& layer, ConstTensorView x, TensorView out) {
  const TensorView query = Top(query_, x.rows);
  const TensorView key = Top(key_, x.rows);
  const TensorView value = Top(value_, x.rows);
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kQ, x, query));
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kK, x, key));
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kV, x, value));

  ForwardOps& ops = backend_->forward();
  if (config_->has_head_norms) {
    const double epsilon = config_->rms_norm_epsilon;
    GPTVQ_RETURN_IF_ERROR(ops.RmsNormHeads(query, config_->head_count, layer.norm(LayerNorm::kQuery), epsilon));
    GPTVQ_RETURN_IF_ERROR(ops.RmsNormHeads(key, config_->kv_head_count, layer.norm(LayerNorm::kKey), epsilon));
  }
  const MatrixView<const float> cosines = rotary_.cosines.view();
  const MatrixView<const float> sines = rotary_.sines.view();
  GPTVQ_RETURN_IF_ERROR(ops.ApplyRotary(query, config_->head_count, cosines, sines));
  GPTVQ_RETURN_IF_ERROR(ops.ApplyRotary(key, config_->kv_head_count, cosines, sines));

  AttentionShape shape;
  shape.sequence_length = sequence_length_;
  shape.head_count = config_->head_count;
  shape.kv_head_count = config_->kv_head_count;
  shape.head_dim = config_->head_dim;
  shape.sliding_window = config_->sliding_windows[layer.index()];
  shape.score_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(config_->head_dim)));
  return ops.CausalAttention(query, key, value, shape, out);
}

absl::Status LayerForward::GateUp(const DecoderLayer& layer, ConstTensorView x, TensorView out) {
  const TensorView up = Top(up_, x.rows);
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kGate, x, out));
  GPTVQ_RETURN_IF_ERROR(Project(layer, LinearRole::kUp, x, up));
  return backend_->forward().SwiGlu(out, up, out);
}

absl::StatusOr<SequentialPass> SequentialPass::Begin(LayerForward& forward, const DecoderLayer& layer, Activations& x,
                                                     const SequentialPassOptions& options) {
  SequentialPass pass(forward, layer, x);
  Backend& backend = *forward.backend_;
  const ModelConfig& config = *forward.config_;
  GPTVQ_ASSIGN_OR_RETURN(pass.heads_, DeviceTensor::Allocate(backend, x.token_count(), config.query_width()));
  const auto product_bytes =
      static_cast<std::size_t>(x.token_count() * config.intermediate_size) * DTypeBytes(backend.activation_dtype());
  pass.keeps_product_ = product_bytes <= options.max_kept_product_bytes;
  if (pass.keeps_product_) {
    GPTVQ_ASSIGN_OR_RETURN(pass.product_, DeviceTensor::Allocate(backend, x.token_count(), config.intermediate_size));
  }
  return pass;
}

absl::Status SequentialPass::Visit(LayerInput input, InputObserver observe) {
  GPTVQ_CHECK(input == static_cast<LayerInput>(visited_));
  ++visited_;
  return ForEachChunk([&](const Chunk& chunk) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const ConstTensorView rows, RowsAt(input, chunk));
    return observe(input, rows);
  });
}

absl::Status SequentialPass::Finish() {
  GPTVQ_CHECK(visited_ == static_cast<int>(kLayerInputs.size()));
  return ForEachChunk([&](const Chunk& chunk) -> absl::Status {
    TensorView product = keeps_product_ ? chunk.RowsOf(product_) : Top(forward_.gate_, chunk.x.rows);
    if (!keeps_product_) GPTVQ_RETURN_IF_ERROR(ComputeProduct(chunk, product));
    const TensorView change = Top(forward_.residual_, chunk.x.rows);
    GPTVQ_RETURN_IF_ERROR(forward_.Project(layer_, LinearRole::kDown, product, change));
    return forward_.backend_->forward().AddInPlace(change, chunk.x);
  });
}

absl::Status SequentialPass::ForEachChunk(absl::FunctionRef<absl::Status(const Chunk&)> body) {
  return forward_.ForEachChunk(x_.shape(), [&](std::int64_t first, std::int64_t count) {
    return body({x_.Samples(first, count), first * x_.shape().sequence_length});
  });
}

absl::StatusOr<ConstTensorView> SequentialPass::RowsAt(LayerInput input, const Chunk& chunk) {
  const TensorView normed = Top(forward_.normed_, chunk.x.rows);
  switch (input) {
    case LayerInput::kAttention:
      GPTVQ_RETURN_IF_ERROR(forward_.Norm(layer_, LayerNorm::kAttention, chunk.x, normed));
      return normed;
    case LayerInput::kAttentionOutput: {
      const TensorView heads = chunk.RowsOf(heads_);
      GPTVQ_RETURN_IF_ERROR(forward_.Norm(layer_, LayerNorm::kAttention, chunk.x, normed));
      GPTVQ_RETURN_IF_ERROR(forward_.Attend(layer_, normed, heads));
      return heads;
    }
    case LayerInput::kMlp: {
      const TensorView change = Top(forward_.residual_, chunk.x.rows);
      GPTVQ_RETURN_IF_ERROR(forward_.Project(layer_, LinearRole::kO, chunk.RowsOf(heads_), change));
      GPTVQ_RETURN_IF_ERROR(forward_.backend_->forward().AddInPlace(change, chunk.x));
      GPTVQ_RETURN_IF_ERROR(forward_.Norm(layer_, LayerNorm::kMlp, chunk.x, normed));
      return normed;
    }
    case LayerInput::kMlpProduct: {
      const TensorView product = keeps_product_ ? chunk.RowsOf(product_) : Top(forward_.gate_, chunk.x.rows);
      GPTVQ_RETURN_IF_ERROR(ComputeProduct(chunk, product));
      return product;
    }
  }
  GPTVQ_CHECK(false);
  return ConstTensorView();
}

absl::Status SequentialPass::ComputeProduct(const Chunk& chunk, TensorView product_out) {
  const TensorView normed = Top(forward_.normed_, chunk.x.rows);
  GPTVQ_RETURN_IF_ERROR(forward_.Norm(layer_, LayerNorm::kMlp, chunk.x, normed));
  return forward_.GateUp(layer_, normed, product_out);
}

}  // namespace gptvq
