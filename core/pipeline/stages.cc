#include "core/pipeline/stages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/decoder_layer.h"
#include "core/model/embedding.h"
#include "core/model/linear_role.h"
#include "core/model/linear_source.h"
#include "core/model/model_tensors.h"
#include "core/pipeline/artifact_linears.h"
#include "core/pipeline/layer_publisher.h"
#include "core/pipeline/layer_read_ahead.h"
#include "core/pipeline/layer_upload.h"
#include "core/pipeline/memory_plan.h"
#include "core/pipeline/quantize_layer.h"
#include "core/pipeline/team_rows.h"

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

// The layers of the range that are to be computed.
absl::StatusOr<std::vector<int>> OpenLayers(LayerRange range, const std::vector<LayerArtifact>& published) {
  std::vector<int> open;
  auto next = published.begin();
  for (int layer = range.begin; layer < range.end; ++layer) {
    if (next != published.end() && next->layer() == layer) {
      ++next;
    } else {
      open.push_back(layer);
    }
  }
  if (next == published.end()) return open;
  return absl::DataLossError(absl::StrCat("the artifact of layer ", next->layer(),
                                          " was given out of order, or for layers ", range.begin, " to ", range.end));
}

// Nothing that a job does needs more memory than quantizing with `spec`.
absl::StatusOr<MemoryPlan> PlanFor(const StageContext& context, const QuantSpec& spec) {
  const ModelConfig& config = context.model.config();
  GPTVQ_ASSIGN_OR_RETURN(const TensorInfo weight, context.model.checkpoint().Get(WeightTensor(0, LinearRole::kQ)));
  const MemoryPlanInput input = {.sample_count = context.tokens.rows,
                                 .sequence_length = context.tokens.cols,
                                 .source_bytes_per_weight = static_cast<std::int64_t>(DTypeBytes(weight.dtype))};
  return PlanMemory(config, spec, input, PlannedDevice::kGpu);
}

// The team's backends for linears of one input side by side; none where their memory has no room for that.
absl::StatusOr<std::vector<Backend*>> AuxiliaryFor(const Team& team, const MemoryPlan& plan) {
  if (team.auxiliary().empty()) return std::vector<Backend*>();
  GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t capacity_bytes, team.lead().CapacityBytes());
  return capacity_bytes < plan.beside_device_bytes ? std::vector<Backend*>() : team.auxiliary();
}

// The layer in the memory of every rank. `tensors` holds norms and biases.
absl::StatusOr<std::vector<DecoderLayer>> LoadLayers(const StageContext& context, const Checkpoint& tensors,
                                                     const LinearSource& linears, int layer) {
  return OnEveryRank<DecoderLayer>(context.team, [&](const Communicator& ranks) {
    return DecoderLayer::Load(context.team.backend(ranks.rank()), context.model.config(), tensors, linears, layer);
  });
}

// The same of a layer that was read ahead; what was uploaded is taken.
absl::StatusOr<std::vector<DecoderLayer>> LoadHeldLayers(const StageContext& context, HeldLayer& held, int layer) {
  if (held.uploaded.empty()) return LoadLayers(context, held.tensors, CheckpointLinears(held.tensors), layer);
  return OnEveryRank<DecoderLayer>(context.team, [&](const Communicator& ranks) {
    const int rank = ranks.rank();
    return DecoderLayer::Load(context.team.backend(rank), context.model.config(), held.tensors,
                              std::move(held.uploaded[rank]), layer);
  });
}

// Forward through one layer whose weights are final.
absl::Status RunLayer(absl::Span<const DecoderLayer> layers, LayerRange range, std::string_view step, TeamRows& rows,
                      StageObserver& observer) {
  const int layer = layers.front().index();
  return rows.Run(layers, [&](LayerInput, ConstTensorView) {
    return observer.OnProgress({layer, step, FractionOf(range, layer)});
  });
}

// The same through a layer that an earlier attempt published.
absl::Status ReplayOne(const StageContext& context, LayerRange range, const LayerArtifact& published, TeamRows& rows,
                       StageObserver& observer) {
  const ArtifactLinears linears(published);
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<DecoderLayer> layers,
                         LoadLayers(context, context.model.checkpoint(), linears, published.layer()));
  return RunLayer(layers, range, "replay", rows, observer);
}

// Replaces the rows by what the source's layer makes of them.
absl::Status CaptureOne(const StageContext& context, LayerRange range, LayerReadAhead& read_ahead, int layer,
                        TeamRows& rows, StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(observer.OnProgress({layer, "load", FractionOf(range, layer)}));
  GPTVQ_ASSIGN_OR_RETURN(HeldLayer held, read_ahead.Next());
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<DecoderLayer> layers, LoadHeldLayers(context, held, layer));
  return RunLayer(layers, range, "capture", rows, observer);
}

absl::Status QuantizeOne(const StageContext& context, LayerRange range, LayerReadAhead& read_ahead, int layer,
                         const QuantizeShardOptions& options, const std::vector<Backend*>& auxiliary, TeamRows& rows,
                         StageObserver& observer, LayerPublisher& publisher) {
  const auto observe = [&](int done_linears, std::string_view step) -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(publisher.Poll());
    return observer.OnProgress({layer, step, FractionOf(range, layer, done_linears)});
  };
  GPTVQ_RETURN_IF_ERROR(observe(0, "load"));
  GPTVQ_ASSIGN_OR_RETURN(HeldLayer held, read_ahead.Next());
  GPTVQ_ASSIGN_OR_RETURN(std::vector<DecoderLayer> layers, LoadHeldLayers(context, held, layer));
  const CheckpointLinears linears(held.tensors);
  QuantizeLayerOptions layer_options{.spec = options.spec, .seed = options.seed, .auxiliary = auxiliary};
  const bool is_resumed = options.checkpoint && options.checkpoint->layer == layer;
  if (is_resumed) layer_options.finished = options.checkpoint->done;
  const auto keep = [&](const QuantizedLayer& done) { publisher.Checkpoint(layer, done); };
  GPTVQ_ASSIGN_OR_RETURN(QuantizedLayer quantized,
                         QuantizeLayer(rows, linears, layers, layer_options, context.clock, {observe, keep}));
  GPTVQ_RETURN_IF_ERROR(observe(kLinearRoles.size(), "publish"));
  return publisher.Publish(layer, std::move(quantized));
}

}  // namespace

absl::StatusOr<Activations> EmbedCalibration(const StageContext& context) {
  return EmbedTokens(context.team.lead(), context.model.config(), context.model.checkpoint(), context.tokens);
}

absl::StatusOr<Activations> CaptureShard(const StageContext& context, LayerRange range, Activations boundary,
                                         StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(CheckRange(context, range));
  GPTVQ_ASSIGN_OR_RETURN(TeamRows rows, TeamRows::ShareOut(context.team, context.model.config(), std::move(boundary)));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<int> layers, OpenLayers(range, {}));
  GPTVQ_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanFor(context, QuantSpec()));
  GPTVQ_ASSIGN_OR_RETURN(const UploadLanes lanes, MakeUploadLanes(context.team, plan.ahead_device_bytes));
  LayerReadAhead read_ahead(context.model.config(), context.model.checkpoint(), layers, lanes);
  for (int layer = range.begin; layer < range.end; ++layer) {
    GPTVQ_RETURN_IF_ERROR(
        WithContext(CaptureOne(context, range, read_ahead, layer, rows, observer), absl::StrCat("layer ", layer)));
  }
  return std::move(rows).Gather();
}

absl::StatusOr<Activations> QuantizeShard(const StageContext& context, LayerRange range, Activations boundary,
                                          const QuantizeShardOptions& options, StageObserver& observer) {
  GPTVQ_RETURN_IF_ERROR(CheckRange(context, range));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<int> open_layers, OpenLayers(range, options.published));
  GPTVQ_ASSIGN_OR_RETURN(TeamRows rows, TeamRows::ShareOut(context.team, context.model.config(), std::move(boundary)));
  GPTVQ_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanFor(context, options.spec));
  GPTVQ_ASSIGN_OR_RETURN(const UploadLanes lanes, MakeUploadLanes(context.team, plan.ahead_device_bytes));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<Backend*> auxiliary, AuxiliaryFor(context.team, plan));
  LayerReadAhead read_ahead(context.model.config(), context.model.checkpoint(), open_layers, lanes);
  LayerPublisher publisher(options.spec, observer, options.keeper);
  auto published = options.published.begin();
  absl::Status status;
  for (int layer = range.begin; layer < range.end && status.ok(); ++layer) {
    const bool is_published = published != options.published.end() && published->layer() == layer;
    status = WithContext(
        is_published ? ReplayOne(context, range, *published++, rows, observer)
                     : QuantizeOne(context, range, read_ahead, layer, options, auxiliary, rows, observer, publisher),
        absl::StrCat("layer ", layer));
  }
  GPTVQ_RETURN_IF_ERROR(publisher.Finish());  // what became of an earlier layer comes first
  GPTVQ_RETURN_IF_ERROR(status);
  return std::move(rows).Gather();
}

}  // namespace gptvq
