#include <utility>

#include "core/base/check.h"
#include "core/cuda/cuda_backend.h"
#include "tests/conformance/backend_conformance.h"

namespace gptvq {

// The CUDA backend on the three devices of simulated_runtime.cc, one for each thread count: what they compute must be equal
// byte for byte, so a race and a result that depends on the launch geometry show.
std::vector<BackendFactory> BackendFactories() {
  return {{"SimulatedCuda", [](int thread_count) {
             auto backend = MakeCudaBackend({.device = thread_count == 1 ? 0 : thread_count == 2 ? 1 : 2});
             GPTVQ_CHECK(backend.ok());
             return std::move(backend).value();
           }}};
}

}  // namespace gptvq
