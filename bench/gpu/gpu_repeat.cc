// Quantizes the same decoder layer twice on a CUDA device: both must give the same bytes.
//
// usage: gpu_repeat [MODEL [PRESET [PASSES [STEPS [ROW_UNIT]]]]]    bench/gpu/whole_layer.h; default llama-3-8b 2d-2.125bpv
//
// Exit codes: 0 equal, 1 they differ or something failed, 2 usage.
#include <cstdio>

#include "bench/gpu/whole_layer.h"
#include "core/cuda/cuda_backend.h"

int main(int argc, char** argv) {
  const auto [shape, spec, row_unit] = gptvq::ParseLayerArguments(argc, argv, "llama-3-8b");
  gptvq::Digest digests[2];
  for (gptvq::Digest& digest : digests) {
    // A backend each: nothing that the first one left behind may matter.
    const auto backend = gptvq::MakeCudaBackend({.device = 0, .row_unit = row_unit});
    gptvq::Check(backend.status(), "gpu_repeat");
    const gptvq::WholeLayer layer = gptvq::QuantizeWholeLayer(**backend, shape, spec);
    digest = layer.digest;
    std::printf("%.2f s, sha256 %s\n", layer.seconds, digest.hex().c_str());
  }
  if (digests[0] == digests[1]) return 0;
  std::printf("two runs gave different bytes\n");
  return 1;
}
