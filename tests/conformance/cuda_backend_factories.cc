#include <cstdio>
#include <utility>

#include "core/base/check.h"
#include "core/cuda/cuda_backend.h"
#include "tests/conformance/backend_conformance.h"

namespace gptvq {

// The first CUDA device. Three backends on it stand for three thread counts: their results must be equal from
// run to run.
std::vector<BackendFactory> BackendFactories() {
  return {{"Cuda", [](int) {
             auto backend = MakeCudaBackend({.device = 0});
             if (!backend.ok()) std::fprintf(stderr, "%s\n", backend.status().ToString().c_str());
             GPTVQ_CHECK(backend.ok());
             return std::move(backend).value();
           }}};
}

}  // namespace gptvq
