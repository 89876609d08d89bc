#ifndef GPTVQ_CORE_PIPELINE_LAYER_CHECKPOINT_H_
#define GPTVQ_CORE_PIPELINE_LAYER_CHECKPOINT_H_

#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/format/layer_artifact.h"
#include "core/model/model_config.h"
#include "core/pipeline/quantize_layer.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// What an attempt had finished of the layer that it worked on when it ended. Plain value, cheap to copy.
struct LayerCheckpoint {
  int layer = 0;
  QuantizedLayer done;
};

// Reads a checkpoint (docs/format.md, 8.4) whole, so that nothing of it can fail later. `reports` are those it was
// kept with. The caller vouches for the bytes: what was changed in storage may still be a valid artifact.
// Errors: InvalidArgument when it is of another spec, or not of the first linears of a layer of this model; those of
// LayerArtifact::ReadLinear.
absl::StatusOr<LayerCheckpoint> ReadLayerCheckpoint(const LayerArtifact& artifact, const ModelConfig& config,
                                                    const QuantSpec& spec, std::vector<LinearReport> reports);

// Keeps what is finished of a layer where a later attempt finds it.
class CheckpointKeeper {
 public:
  virtual ~CheckpointKeeper() = default;

  // On the thread that computes, when a linear is finished and nothing is on its way: whether it is worth keeping now.
  virtual bool WantsCheckpoint() = 0;

  // `packed` is the checkpoint of the linears that `reports` tell of. On another thread, one call at a time, and at no time
  // together with OnLayerQuantized. `abandoned` is requested when the layer is finished: nobody needs it any more. What
  // goes wrong is the keeper's own affair: the stage goes on.
  virtual void KeepCheckpoint(int layer, std::string packed, const std::vector<LinearReport>& reports,
                              std::stop_token abandoned) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_CHECKPOINT_H_
