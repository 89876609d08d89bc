#ifndef GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_
#define GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_

#include <cuda_runtime_api.h>

#include <string_view>

#include "core/base/status_macros.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/tile_memory.cuh"

namespace gptvq::cuda {

// Lets `kernel` use as much dynamic shared memory as the current device has; beyond 48 KiB a kernel has to ask. Always all
// of it: what is allowed holds for every thread that launches the kernel on the device, and one that needs less must not
// take it away from another one between its asking and its launch. What a launch gets is what it names.
template <typename Kernel>
absl::Status AllowSharedBytes(std::string_view name, Kernel kernel) {
  const auto function = reinterpret_cast<const void*>(kernel);
  int device = 0, most_bytes = 0;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaGetDevice(&device), name));
  GPTVQ_RETURN_IF_ERROR(
      CudaStatus(cudaDeviceGetAttribute(&most_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), name));
  cudaFuncAttributes attributes;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaFuncGetAttributes(&attributes, function), name));
  return CudaStatus(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         most_bytes - static_cast<int>(attributes.sharedSizeBytes)),
                    name);
}

// One thread block per tile of rows.
template <typename Arguments>
absl::Status LaunchTile(std::string_view name, void (*kernel)(TileLayout, Arguments), const TilePlan& plan,
                        const Arguments& arguments, cudaStream_t stream) {
  GPTVQ_RETURN_IF_ERROR(AllowSharedBytes(name, kernel));
  kernel<<<plan.grid, plan.threads, plan.shared_bytes, stream>>>(LayoutOf(plan), arguments);
  return LaunchStatus(name);
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_TILE_LAUNCH_CUH_
