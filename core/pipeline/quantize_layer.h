#ifndef GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
#define GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_

#include <cstdint>
#include <memory>
#include <string_view>
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

// What is quantized of a decoder layer: the first of its linears, or all seven, in the order of LinearRole. Cheap to copy.
struct QuantizedLayer {
  // Shared, because the computing thread may drop a layer while another one still packs a checkpoint of it.
  std::vector<std::shared_ptr<const QuantizedLinear>> linears;
  std::vector<LinearReport> reports;  // one of each
};

struct QuantizeLayerOptions {
  QuantSpec spec;
  std::uint64_t seed = 0;
  // The linears that an earlier attempt finished. They are not computed again, and nor are the Hessians that only they need.
  QuantizedLayer finished = {};
  // Backends that use the memory of the team's lead, if it is alone; borrowed. With them linears of one input are quantized side by
  // side, as many at once as there are backends with the lead.
  std::vector<Backend*> auxiliary = {};
};

// Told how a layer gets on, on the calling thread.
struct LayerObserver {
  // Before each linear is begun and while calibration rows run; a status other than OK ends the work with it. `done_linears` of the
  // layer's seven are quantized; `step` is "calibrate", "replay" where a finished linear spares that, "propagate", or the
  // linear's name.
  absl::FunctionRef<absl::Status(int done_linears, std::string_view step)> on_step;
  // After each linear that was computed, and all before it: what is done of the layer.
  absl::FunctionRef<void(const QuantizedLayer& done)> on_linear;
};

// Calibrates and quantizes the linears of a layer on `rows`, in the order of spec.layer_order, and moves them behind the layer
// as it is then. `layers` holds the layer in the memory of every rank, loaded the same way; its weights become the dequantized ones.
// `linears` gives the source weights where the layers hold them rounded. The result depends neither on the team's size nor on what was finished before or
// on auxiliary backends, but for the seconds of its reports: those of linears side by side overlap. Precondition: what is finished are the first linears of the layer, in its shapes.
// Errors: those of reading, of the recipe (named after the linear), of the team and of the observer.
absl::StatusOr<QuantizedLayer> QuantizeLayer(TeamRows& rows, const LinearSource& linears,
                                             std::vector<DecoderLayer>& layers, const QuantizeLayerOptions& options,
                                             const MonotonicClock& clock, const LayerObserver& observer);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_QUANTIZE_LAYER_H_
