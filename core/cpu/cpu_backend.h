#ifndef GPTVQ_CORE_CPU_CPU_BACKEND_H_
#define GPTVQ_CORE_CPU_CPU_BACKEND_H_

#include <memory>

#include "core/backend/backend.h"

namespace gptvq {

struct CpuBackendOptions {
  int thread_count = 1;  // >= 1, the calling thread included; changes no result
};

// The reference implementation of Backend: f32 activations, products through BLAS, the rest vectorised. Backend memory is
// host memory. Owns its worker threads. Thread-compatible, as every Backend; several may exist in one process.
//
// Side effect on the process, the only one: OpenBLAS is told to use one thread per call, because this library cuts the
// work itself into tiles whose shapes do not depend on the number of threads.
std::unique_ptr<Backend> MakeCpuBackend(const CpuBackendOptions& options);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_CPU_BACKEND_H_
