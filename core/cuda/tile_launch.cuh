#ifndef GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_
#define GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_

#include <cuda_runtime_api.h>

#include <string_view>

#include "core/base/status_macros.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/tile_memory.cuh"

namespace gptvq::cuda {

// Lets `kernel` use `bytes` of dynamic shared memory; beyond 48 KiB a kernel has to ask.
template <typename Kernel>
absl::Status AllowSharedBytes(std::string_view name, Kernel kernel, std::size_t bytes) {
  return CudaStatus(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
                    name);
}

// One thread block per tile of rows.
template <typename Arguments>
absl::Status LaunchTile(std::string_view name, void (*kernel)(TileLayout, Arguments), const TilePlan& plan,
                        const Arguments& arguments, cudaStream_t stream) {
  GPTVQ_RETURN_IF_ERROR(AllowSharedBytes(name, kernel, plan.shared_bytes));
  kernel<<<plan.grid, plan.threads, plan.shared_bytes, stream>>>(LayoutOf(plan), arguments);
  return LaunchStatus(name);
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_
