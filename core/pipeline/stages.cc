#include "core/pipeline/stages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/decoder_layer.h"
#include "core/model/embedding.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_role.h"
#include "core/model/linear_source.h"
#include "core/pipeline/artifact_linears.h"
#include "core/pipeline/layer_publisher.h"
#include "core/pipeline/layer_read_ahead.h"
#include "core/pipeline/quantize_layer.h"

namespace gptvq {
namespace {

// Part of the shard that is done when `done_linears` linears of `layer` are.
double FractionOf(LayerRange range, int layer, int done_linears = 0) {
  constexpr double kLinearsPerLayer = kLinearRoles.size();
  return (layer - range.begin + done_linears / kLinearsPerLayer) / range.count();
}

absl::Status CheckRange(const StageContext& context, LayerRange range) {
  const int layer_count = context.model.config().layer_count;
  if (range.begin >= 0 && range.begin < range.end && range.end <= layer_count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("layers ", range.begin, " to ", range.end, " of a model with ", layer_count, " layers"));
}

absl::StatusOr<LayerForward> MakeForward(const StageContext& context, const Activations& boundary) {
  return LayerForward::Create(context.backend, context.model.config(), boundary.shape().sequence_length);
}

// Forward through one layer whose weights are final. `tensors` holds norms and biases.
absl::Status RunLayer(const StageContext& context, LayerRange range, LayerForward& forward, const Checkpoint& tensors,
                      const LinearSource& linears, int layer, std::string_view step, Activations& x,
                      StageObserver& observer) {
  GPTVQ_ASSIGN_OR_RETURN(const DecoderLayer weights,
                         DecoderLayer::Load(context.backend, context.model.config(), tensors, linears, layer));
  return forward.Run(weights, x, [&](LayerInput, ConstTensorView) {
    return observer.OnProgress({layer, step, FractionOf(range, layer)});
  });
}

// Replaces x by what the source's layer makes of it.
absl::Status CaptureOne(const StageContext& context, LayerRange range, LayerForward& forward,
                        LayerReadAhead& read_ahead, int layer, Activations& x, StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(observer.OnProgress({layer, "load", FractionOf(range, layer)}));
  GPTVQ_ASSIGN_OR_RETURN(const Checkpoint tensors, read_ahead.Next());
  return RunLayer(context, range, forward, tensors, CheckpointLinears(tensors), layer, "capture", x, observer);
}

absl::Status QuantizeOne(const StageContext& context, LayerRange range, LayerForward& forward,
                         LayerReadAhead& read_ahead, int layer, const QuantizeShardOptions& options, Activations& x,
                         StageObserver& observer, LayerPublisher& publisher) {
  const auto observe = [&](int done_linears, std::string_view step) -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(publisher.Poll());
    return observer.OnProgress({layer, step, FractionOf(range, layer, done_linears)});
  };
  GPTVQ_RETURN_IF_ERROR(observe(0, "load"));
  GPTVQ_ASSIGN_OR_RETURN(const Checkpoint tensors, read_ahead.Next());
  const CheckpointLinears linears(tensors);
  GPTVQ_ASSIGN_OR_RETURN(DecoderLayer weights,
                         DecoderLayer::Load(context.backend, context.model.config(), tensors, linears, layer));
  GPTVQ_ASSIGN_OR_RETURN(QuantizedLayer quantized, QuantizeLayer(context.backend, forward, linears, weights, x,
                                                                 {options.spec, options.seed}, context.clock, observe));
  GPTVQ_RETURN_IF_ERROR(observe(kLinearRoles.size(), "publish"));
  return publisher.Publish(layer, std::move(quantized));
}

}  // namespace

absl::StatusOr<Activations> EmbedCalibration(const StageContext& context) {
  return EmbedTokens(context.backend, context.model.config(), context.model.checkpoint(), context.tokens);
}

absl::StatusOr<Activations> CaptureShard(const StageContext& context, LayerRange range, Activations boundary,
                                         StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(CheckRange(context, range));
  GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, MakeForward(context, boundary));
  LayerReadAhead read_ahead(context.model.config(), context.model.checkpoint(), range);
  for (int layer = range.begin; layer < range.end; ++layer) {
    GPTVQ_RETURN_IF_ERROR(WithContext(CaptureOne(context, range, forward, read_ahead, layer, boundary, observer),
                                      absl::StrCat("layer ", layer)));
  }
  return boundary;
}

absl::StatusOr<Activations> QuantizeShard(const StageContext& context, LayerRange range, Activations boundary,
                                          const QuantizeShardOptions& options, StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(CheckRange(context, range));
  const int first_open = range.begin + static_cast<int>(options.published.size());
  if (first_open > range.end) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.published.size(), " published layers for a shard of ", range.count()));
  }
  GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, MakeForward(context, boundary));
  LayerReadAhead read_ahead(context.model.config(), context.model.checkpoint(), {first_open, range.end});
  for (int layer = range.begin; layer < first_open; ++layer) {
    const ArtifactLinears linears(options.published[layer - range.begin]);
    GPTVQ_RETURN_IF_ERROR(WithContext(
        RunLayer(context, range, forward, context.model.checkpoint(), linears, layer, "replay", boundary, observer),
        absl::StrCat("layer ", layer)));
  }
  LayerPublisher publisher(options.spec, observer);
  absl::Status status;
  for (int layer = first_open; layer < range.end && status.ok(); ++layer) {
    status =
        WithContext(QuantizeOne(context, range, forward, read_ahead, layer, options, boundary, observer, publisher),
                    absl::StrCat("layer ", layer));
  }
  GPTVQ_RETURN_IF_ERROR(publisher.Finish());  // what became of an earlier layer comes first
  GPTVQ_RETURN_IF_ERROR(status);
  return boundary;
}

}  // namespace gptvq
