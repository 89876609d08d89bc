// Times every primitive of one Llama-2-70B decoder layer on a CUDA device, in a table.
//
// usage: gpu_bench [PRESET [ROW_UNIT]]     default 2d-2.125bpv 0
//
// With a ROW_UNIT (512 is that of teams) products are cut into pieces of so many rows, as on a GPU of a team: what that costs
// a single one.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "bench/gpu/gpu_table.h"
#include "core/cuda/cuda_backend.h"

namespace {

constexpr int kLayers = 80;

}  // namespace

int main(int argc, char** argv) {
  const std::string preset = argc > 1 ? argv[1] : "2d-2.125bpv";
  const std::int64_t row_unit = argc > 2 ? std::atoll(argv[2]) : 0;
  auto backend = gptvq::MakeCudaBackend({.device = 0, .row_unit = row_unit});
  gptvq::Check(backend.status(), "gpu_bench");
  gptvq::GpuTable table(std::move(backend).value());
  gptvq::AddProductRows(table);
  gptvq::AddAttentionRows(table);
  table.Total("forward passes of a layer");
  gptvq::AddHessianRows(table);
  table.Total("with Hessians and factors");
  gptvq::AddVectorRows(table, preset);
  table.Total("layer");
  table.Extrapolate(kLayers);
  return 0;
}
