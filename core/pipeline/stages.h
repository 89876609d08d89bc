#ifndef GPTVQ_CORE_PIPELINE_STAGES_H_
#define GPTVQ_CORE_PIPELINE_STAGES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/team.h"
#include "core/base/matrix_view.h"
#include "core/base/monotonic_clock.h"
#include "core/format/layer_artifact.h"
#include "core/model/activations.h"
#include "core/pipeline/layer_checkpoint.h"
#include "core/pipeline/layer_range.h"
#include "core/pipeline/observer.h"
#include "core/pipeline/source_model.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// The stages of a job as functions: what the tasks `capture` and `quantize` compute. Used by the worker's executor and by
// the embedded runner. No file is written here: results go back as values and through the observer.
//
// Activations that come in and go out lie in the memory of the team's lead; in between they are shared out.
//
// Where the team has auxiliary backends and their memory has room, linears of one input are quantized side by side.
//
// Memory of every rank: the weights of one layer, on a GPU with room for it those of the next, too, and, in host memory as they
// are stored, of this layer and the next; the activations of
// the calibration rows (samples x length x hidden); scratch of one layer and the packed form of the one before; never the
// model. Determinism: the result is a function of (model, calibration rows, spec, seed, numerics
// class), whatever the shards, the size of the team, the thread count or the place of interruption.

// Everything the stages share; borrowed, outlives the call.
struct StageContext {
  Team team;  // a Backend& will do: a team of one
  const SourceModel& model;
  MatrixView<const std::int32_t> tokens;  // calibration rows [samples, length], in host memory
  const MonotonicClock& clock;            // for the seconds in reports
};

// The activations in front of layer 0: the embeddings of the calibration rows.
absl::StatusOr<Activations> EmbedCalibration(const StageContext& context);

// Runs the source model's layers `range` over `boundary`, the activations in front of range.begin; returns those behind
// range.end - 1: the boundary of the next shard. Errors: those of reading weights; the observer's.
absl::StatusOr<Activations> CaptureShard(const StageContext& context, LayerRange range, Activations boundary,
                                         StageObserver& observer);

struct QuantizeShardOptions {
  QuantSpec spec;
  std::uint64_t seed = 0;
  // Artifacts of layers of the range that earlier attempts finished, in order, not always the first ones; these are not computed
  // again, only the forward pass through them is.
  std::vector<LayerArtifact> published = {};
  // What it finished of the first layer that is not among them; that of any other layer is not looked at.
  std::optional<LayerCheckpoint> checkpoint = {};
  // Borrowed; null: no checkpoints.
  CheckpointKeeper* keeper = nullptr;
};

// Quantizes the layers of `range` one after the other; each is calibrated on the outputs of the quantized layers before
// it. Hands every finished layer to the observer; returns the activations behind the last one, computed with the quantized
// weights. While a layer is computed the next one is read and the one before is packed and handed over, and then checkpoints of
// its own; the result and the errors are those of doing one after the other. Errors: InvalidArgument for weights that are not
// finite (naming the tensor), DataLoss for a published artifact that does not fit, or is out of order; those of reading weights;
// the observer's.
absl::StatusOr<Activations> QuantizeShard(const StageContext& context, LayerRange range, Activations boundary,
                                          const QuantizeShardOptions& options, StageObserver& observer);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_STAGES_H_
