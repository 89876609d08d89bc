#include <cstdint>

#include "core/cpu/cpu_backend.h"
#include "hwy/targets.h"
#include "tests/conformance/backend_conformance.h"

namespace gptvq {

// The CPU backend once per instruction set that this machine has and the kernels are compiled for.
std::vector<BackendFactory> BackendFactories() {
  struct Target {
    const char* name;
    std::int64_t bits;
  };
  std::vector<BackendFactory> factories;
  for (const Target& target : {Target{"CpuSse4", HWY_SSE4}, {"CpuAvx2", HWY_AVX2}, {"CpuAvx512", HWY_AVX3}}) {
    if ((hwy::SupportedTargets() & target.bits) == 0) continue;
    factories.push_back({target.name, [bits = target.bits](int thread_count) {
                           hwy::SetSupportedTargetsForTest(bits);
                           hwy::GetChosenTarget().Update(hwy::SupportedTargets());
                           return MakeCpuBackend({.thread_count = thread_count});
                         }});
  }
  return factories;
}

}  // namespace gptvq
