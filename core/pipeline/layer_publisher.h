#ifndef GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_
#define GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_

#include "absl/status/status.h"
#include "core/base/background_call.h"
#include "core/pipeline/observer.h"
#include "core/pipeline/quantize_layer.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// Packs a finished layer and hands it to the observer, on a thread of its own, while the next layer is computed. One layer
// at a time, in order. Errors stay: after the first one no layer is handed over. Borrows spec and observer; destruction
// waits for the layer on its way. Thread-compatible.
class LayerPublisher {
 public:
  LayerPublisher(const QuantSpec& spec, StageObserver& observer) : spec_(spec), observer_(observer) {}

  // Waits until the layer before is published; then begins with this one.
  // Errors: those of packing and of OnLayerQuantized for an earlier layer, naming it.
  absl::Status Publish(int layer, QuantizedLayer quantized);

  // What is known of the layers so far; never waits.
  absl::Status Poll();

  // Waits for all of them.
  absl::Status Finish();

 private:
  const QuantSpec& spec_;
  StageObserver& observer_;
  absl::Status status_;
  BackgroundCall<absl::Status> publishing_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_PUBLISHER_H_
