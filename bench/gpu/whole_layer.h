#ifndef GPTVQ_BENCH_GPU_WHOLE_LAYER_H_
#define GPTVQ_BENCH_GPU_WHOLE_LAYER_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "bench/gpu/gpu_table.h"
#include "core/backend/backend.h"
#include "core/base/sha256.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// The arguments of the programs here, each of which may be left out with all behind it:
//   MODEL PRESET PASSES STEPS ROW_UNIT
// MODEL: FindShape; PRESET of vector quantization, PASSES and STEPS its refinement_passes and update_iterations; with a ROW_UNIT
// (512 is that of teams) products are cut into pieces of so many rows, as on a GPU of a team: what that costs a single one.
struct LayerArguments {
  ModelShape shape;
  QuantSpec spec;
  std::int64_t row_unit = 0;
};

// Ends the program with code 2 if they are wrong. `model`: where none is named.
LayerArguments ParseLayerArguments(int argc, char** argv, const std::string& model);

struct WholeLayer {
  double seconds = 0;  // from the Hessians in device memory to the quantized linears in host memory
  double bits = 0;     // stored, per weight
  Digest digest;       // of what all linears dequantize to
};

// Quantizes all linears of one decoder layer with the whole recipe, random weights and Hessians that are all different, and
// prints a line for each: the seconds of its phases and its error. Ends the program if anything fails.
WholeLayer QuantizeWholeLayer(Backend& backend, const ModelShape& shape, const QuantSpec& spec);

// What q, k and v, and gate and up, take together.
struct LinearsOfInputs {
  double in_turn_seconds = 0;
  double side_by_side_seconds = 0;
};

// Quantizes them both ways (docs/adr/0018), side by side on `lead` and `auxiliary`, two backends of its device, and prints a line for
// each input. Ends the program if anything fails, or if the bytes differ.
LinearsOfInputs QuantizeSideBySide(Backend& lead, absl::Span<Backend* const> auxiliary, const ModelShape& shape,
                                   const QuantSpec& spec);

}  // namespace gptvq

#endif  // GPTVQ_BENCH_GPU_WHOLE_LAYER_H_
