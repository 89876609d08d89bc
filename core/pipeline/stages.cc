#include "core/pipeline/stages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/memory_file.h"
#include "core/base/status_macros.h"
#include "core/model/decoder_layer.h"
#include "core/model/embedding.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_role.h"
#include "core/model/linear_source.h"
#include "core/pipeline/artifact_linears.h"
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

absl::StatusOr<DecoderLayer> LoadLayer(const StageContext& context, const LinearSource& linears, int layer) {
  return DecoderLayer::Load(context.backend, context.model.config(), context.model.checkpoint(), linears, layer);
}

// Forward through one layer whose weights are final.
absl::Status RunLayer(const StageContext& context, LayerRange range, LayerForward& forward, const LinearSource& linears,
                      int layer, std::string_view step, Activations& x, StageObserver& observer) {
  GPTVQ_ASSIGN_OR_RETURN(const DecoderLayer weights, LoadLayer(context, linears, layer));
  return forward.Run(weights, x, [&](LayerInput, ConstTensorView) {
    return observer.OnProgress({layer, step, FractionOf(range, layer)});
  });
}

absl::StatusOr<std::string> PackLayer(int layer, const QuantSpec& spec, QuantizedLayer& quantized) {
  std::vector<NamedLinear> named;
  named.reserve(quantized.linears.size());
  for (std::size_t i = 0; i < quantized.linears.size(); ++i) {
    named.push_back({quantized.reports[i].name, std::move(quantized.linears[i])});
  }
  MemoryDirectory memory;
  constexpr std::string_view kName = "layer.safetensors";
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, memory.Create(kName));
  GPTVQ_RETURN_IF_ERROR(WriteLayerArtifact(layer, spec, named, *file));
  GPTVQ_RETURN_IF_ERROR(file->Close());
  return memory.Take(kName);
}

absl::Status QuantizeOne(const StageContext& context, LayerRange range, LayerForward& forward, int layer,
                         const QuantizeShardOptions& options, Activations& x, StageObserver& observer) {
  const CheckpointLinears linears(context.model.checkpoint());
  GPTVQ_ASSIGN_OR_RETURN(DecoderLayer weights, LoadLayer(context, linears, layer));
  GPTVQ_ASSIGN_OR_RETURN(
      QuantizedLayer quantized,
      QuantizeLayer(context.backend, forward, linears, weights, x, {options.spec, options.seed}, context.clock,
                    [&](int done_linears, std::string_view step) {
                      return observer.OnProgress({layer, step, FractionOf(range, layer, done_linears)});
                    }));
  const std::vector<LinearReport> reports = quantized.reports;
  GPTVQ_ASSIGN_OR_RETURN(std::string packed, PackLayer(layer, options.spec, quantized));
  return observer.OnLayerQuantized(layer, std::move(packed), reports);
}

}  // namespace

absl::StatusOr<Activations> EmbedCalibration(const StageContext& context) {
  return EmbedTokens(context.backend, context.model.config(), context.model.checkpoint(), context.tokens);
}

absl::StatusOr<Activations> CaptureShard(const StageContext& context, LayerRange range, Activations boundary,
                                         StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(CheckRange(context, range));
  GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, MakeForward(context, boundary));
  const CheckpointLinears linears(context.model.checkpoint());
  for (int layer = range.begin; layer < range.end; ++layer) {
    GPTVQ_RETURN_IF_ERROR(WithContext(RunLayer(context, range, forward, linears, layer, "capture", boundary, observer),
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
  for (int layer = range.begin; layer < first_open; ++layer) {
    const ArtifactLinears linears(options.published[layer - range.begin]);
    GPTVQ_RETURN_IF_ERROR(WithContext(RunLayer(context, range, forward, linears, layer, "replay", boundary, observer),
                                      absl::StrCat("layer ", layer)));
  }
  for (int layer = first_open; layer < range.end; ++layer) {
    GPTVQ_RETURN_IF_ERROR(WithContext(QuantizeOne(context, range, forward, layer, options, boundary, observer),
                                      absl::StrCat("layer ", layer)));
  }
  return boundary;
}

}  // namespace gptvq
