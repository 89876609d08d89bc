#ifndef GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
#define GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/monotonic_clock.h"
#include "core/model/decoder_layer.h"
#include "core/model/linear_source.h"
#include "core/pipeline/team_rows.h"
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

// Calibrates and quantizes the linears of a layer on `rows`, in the order of spec.layer_order, and moves them behind the layer
// as it is then. `layers` holds the layer in the memory of every rank; its weights become the dequantized ones. `linears`
// gives the source weights in f32. The observer is told on the calling thread. The result does not depend on the team's size.
// Errors: those of reading, of the recipe (named after the linear), of the team and of the observer.
absl::StatusOr<QuantizedLayer> QuantizeLayer(TeamRows& rows, const LinearSource& linears,
                                             std::vector<DecoderLayer>& layers, const QuantizeLayerOptions& options,
                                             const MonotonicClock& clock, LayerStepObserver observe_step);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
