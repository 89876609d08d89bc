#ifndef GPTVQ_CORE_CUDA_CONTEXT_BACKEND_H_
#define GPTVQ_CORE_CUDA_CONTEXT_BACKEND_H_

#include <cstdint>
#include <memory>

#include "core/backend/backend.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

// The backend that MakeCudaBackend makes, on a context whose stream its maker goes on using. Owns the context, which stays at
// its address. `row_unit`: CudaBackendOptions.
std::unique_ptr<Backend> MakeContextBackend(std::unique_ptr<DeviceContext> context, std::int64_t row_unit);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CONTEXT_BACKEND_H_
