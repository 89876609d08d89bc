// Times every primitive of one decoder layer on a CUDA device, in a table; then quantizes such a layer with the whole recipe, and
// those of its linears that share an input once more, side by side.
//
// usage: gpu_bench [MODEL [PRESET [PASSES [STEPS [ROW_UNIT]]]]]     bench/gpu/whole_layer.h; default llama-2-70b 2d-2.125bpv
#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "bench/gpu/gpu_table.h"
#include "bench/gpu/whole_layer.h"
#include "core/cuda/cuda_backend.h"

namespace {

std::vector<std::unique_ptr<gptvq::Backend>> MakeAuxiliary(std::int64_t row_unit) {
  std::vector<std::unique_ptr<gptvq::Backend>> auxiliary;
  for (int i = 0; i < 2; ++i) {
    auto backend = gptvq::MakeCudaBackend({.device = 0, .row_unit = row_unit});
    gptvq::Check(backend.status(), "gpu_bench");
    auxiliary.push_back(std::move(backend).value());
  }
  return auxiliary;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [shape, spec, row_unit] = gptvq::ParseLayerArguments(argc, argv, "llama-2-70b");
  auto backend = gptvq::MakeCudaBackend({.device = 0, .row_unit = row_unit});
  gptvq::Check(backend.status(), "gpu_bench");
  gptvq::GpuTable table(std::move(backend).value(), shape);
  gptvq::AddProductRows(table);
  gptvq::AddAttentionRows(table);
  table.Total("forward passes of a layer");
  gptvq::AddHessianRows(table);
  const double calibration = table.Total("with Hessians and factors");
  gptvq::AddVectorRows(table, spec);
  table.Total("layer, as the sum of its primitives");
  gptvq::AddCopyRows(table);
  // The factors are in both: what is said is rather too long than too short.
  const gptvq::WholeLayer layer = gptvq::QuantizeWholeLayer(table.backend(), shape, spec);
  const double in_turn_seconds = calibration + layer.seconds;
  std::printf("%-52s %21s %10.1f\n", "calibrated as above, quantized as a whole", "", in_turn_seconds * 1e3);
  const std::vector<std::unique_ptr<gptvq::Backend>> auxiliary = MakeAuxiliary(row_unit);
  const gptvq::LinearsOfInputs linears =
      gptvq::QuantizeSideBySide(table.backend(), {auxiliary[0].get(), auxiliary[1].get()}, shape, spec);
  const double seconds = in_turn_seconds - linears.in_turn_seconds + linears.side_by_side_seconds;
  std::printf("%-52s %21s %10.1f\n", "the same with linears of one input side by side", "", seconds * 1e3);
  std::printf("of the time of a layer in turn, side by side: %.3f\n", seconds / in_turn_seconds);
  table.Extrapolate(seconds, layer.bits);
  return 0;
}
