#ifndef GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
#define GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/monotonic_clock.h"
#include "core/model/activations.h"
#include "core/model/decoder_layer.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_source.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// One decoder layer quantized: its seven linears in the order of LinearRole.
struct QuantizedLayer {
  std::vector<QuantizedLinear> linears;
  std::vector<LinearReport> reports;
};

struct QuantizeLayerOptions {
  QuantSpec spec;
  std::uint64_t seed = 0;
};

// Told before each linear and while calibration rows run; a status other than OK ends the work with it.
// `done_linears` of the layer's seven are quantized; `step` is "calibrate" or the linear's name.
using LayerStepObserver = absl::FunctionRef<absl::Status(int done_linears, std::string_view step)>;

// Calibrates and quantizes the linears of `layer` on `x`, in the order of spec.layer_order, and moves x behind the layer
// as it is then. The layer's weights become the dequantized ones. `linears` gives the source weights in f32.
// Errors: those of reading, of the recipe (named after the linear) and of the observer.
absl::StatusOr<QuantizedLayer> QuantizeLayer(Backend& backend, LayerForward& forward, const LinearSource& linears,
                                             DecoderLayer& layer, Activations& x, const QuantizeLayerOptions& options,
                                             const MonotonicClock& clock, LayerStepObserver observe_step);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
