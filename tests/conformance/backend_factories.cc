#include "core/cpu/cpu_backend.h"
#include "tests/conformance/backend_conformance.h"

namespace gptvq {

std::vector<BackendFactory> BackendFactories() {
  return {{"Cpu", [](int thread_count) { return MakeCpuBackend({.thread_count = thread_count}); }}};
}

}  // namespace gptvq
