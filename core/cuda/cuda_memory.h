#ifndef GPTVQ_CORE_CUDA_CUDA_MEMORY_H_
#define GPTVQ_CORE_CUDA_CUDA_MEMORY_H_

#include "core/backend/upload_lane.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

// Memory of a context's device; freed in the order of the context's stream. Owns it; borrows the context.
class CudaMemory final : public DeviceMemory {
 public:
  CudaMemory(DeviceContext& context, void* address) : context_(context), address_(address) {}
  ~CudaMemory() override { context_.Free(address_); }
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  void* address() const override { return address_; }

 private:
  DeviceContext& context_;
  void* const address_;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_MEMORY_H_
