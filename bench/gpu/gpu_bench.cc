// Times every primitive of one decoder layer on a CUDA device, in a table; then quantizes such a layer with the whole recipe.
//
// usage: gpu_bench [MODEL [PRESET [PASSES [STEPS [ROW_UNIT]]]]]     bench/gpu/whole_layer.h; default llama-2-70b 2d-2.125bpv
#include <cstdio>
#include <utility>

#include "bench/gpu/gpu_table.h"
#include "bench/gpu/whole_layer.h"
#include "core/cuda/cuda_backend.h"

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
  const double seconds = calibration + layer.seconds;
  std::printf("%-52s %21s %10.1f\n", "calibrated as above, quantized as a whole", "", seconds * 1e3);
  table.Extrapolate(seconds, layer.bits);
  return 0;
}
