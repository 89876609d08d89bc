#ifndef GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_
#define GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_

#include "absl/status/status.h"
#include "core/base/background_call.h"
#include "core/pipeline/layer_checkpoint.h"
#include "core/pipeline/observer.h"
#include "core/pipeline/quantize_layer.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// Packs a finished layer and hands it to the observer, on a thread of its own, while the next layer is computed. One layer
// at a time, in order. Errors stay: after the first one no layer is handed over. Between layers it packs checkpoints of the
// next one, where somebody keeps them. Borrows everything; destruction waits for what is on its way. Thread-compatible.
class LayerPublisher {
 public:
  // `keeper` may be null.
  LayerPublisher(const QuantSpec& spec, StageObserver& observer, CheckpointKeeper* keeper)
      : spec_(spec), observer_(observer), keeper_(keeper) {}

  // What is done of a layer that is not published yet. Never waits: while a layer or another checkpoint is on its way, this
  // one is left out.
  void Checkpoint(int layer, const QuantizedLayer& done);

  // Waits until the layer before is published; then begins with this one, and abandons a checkpoint of it.
  // Errors: those of packing and of OnLayerQuantized for an earlier layer, naming it.
  absl::Status Publish(int layer, QuantizedLayer quantized);

  // What is known of the layers so far; never waits.
  absl::Status Poll();

  // Waits for all of them, and for a checkpoint of the layer that will not be among them.
  absl::Status Finish();

 private:
  absl::Status FinishLayer();

  const QuantSpec& spec_;
  StageObserver& observer_;
  CheckpointKeeper* const keeper_;
  absl::Status status_;
  BackgroundCall<absl::Status> checkpointing_;  // ended by publishing_, which therefore goes first
  BackgroundCall<absl::Status> publishing_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_
