#ifndef GPTVQ_CORE_CUDA_DEVICE_CONTEXT_H_
#define GPTVQ_CORE_CUDA_DEVICE_CONTEXT_H_

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "core/cuda/cuda_libraries.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/launch_plan.h"

namespace gptvq::cuda {

// The first generation that has what the kernels are written with: bf16 tensor cores, asynchronous copies.
inline constexpr int kLeastComputeMajor = 8;

// One device as one backend uses it: a stream on which everything runs in order, the library handles, and what
// the device allows. Owns stream and handles; thread-compatible. Must outlive every buffer made from it.
//
// Calls are asynchronous to the host; an error of a kernel shows up at the next call that synchronises.
class DeviceContext {
 public:
  // Errors: FailedPrecondition when there is no driver, no such device, one older than compute capability 8.0, or one
  // that this build has no code for; those of LoadCudaLibraries.
  static absl::StatusOr<std::unique_ptr<DeviceContext>> Make(int device);
  ~DeviceContext();

  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;

  // Makes this device the calling thread's: first thing in every operation.
  absl::Status Activate() { return CudaStatus(cudaSetDevice(device_), "cudaSetDevice"); }

  int device() const { return device_; }
  const std::string& device_name() const { return device_name_; }
  const DeviceLimits& limits() const { return limits_; }
  cudaStream_t stream() const { return stream_; }

  const CudaLibraries& libraries() const { return libraries_; }
  // Made when first asked for; they run on stream().
  absl::StatusOr<cublasHandle_t> Cublas();
  absl::StatusOr<cusolverDnHandle_t> Cusolver();

  // Stream-ordered memory, at least one byte. Freed memory is kept, in pieces of its own sizes; when nothing fits it is given
  // back and the allocation tried once more. Errors: ResourceExhausted naming the bytes.
  absl::StatusOr<void*> Allocate(std::size_t bytes);
  void Free(void* address);

  // The same in the order of another stream of the device, and of what is free or kept: nothing is given back for it, as that
  // would wait for stream(). May be called while another thread uses the context, and so may the next one.
  absl::StatusOr<void*> AllocateOn(cudaStream_t stream, std::size_t bytes);
  // The memory of the device but for what others than its pool use.
  absl::StatusOr<std::uint64_t> CapacityBytes();

  absl::Status CopyToDevice(const void* host, void* device_out, std::size_t bytes);
  absl::Status CopyToHostSync(const void* device, void* host_out, std::size_t bytes);
  absl::Status Zero(void* device_out, std::size_t bytes);
  absl::Status Sync(std::string_view operation) { return CudaStatus(cudaStreamSynchronize(stream_), operation); }

 private:
  DeviceContext() = default;

  cudaError_t TryAllocate(std::size_t bytes, cudaStream_t stream, void** address_out);
  absl::Status NoMemory(cudaError_t error, std::size_t bytes) const;
  absl::Status GiveKeptMemoryBack();

  int device_ = 0;
  std::string device_name_;
  std::size_t total_bytes_ = 0;
  DeviceLimits limits_;
  CudaLibraries libraries_ = {};
  cudaStream_t stream_ = nullptr;
  cublasHandle_t cublas_ = nullptr;
  cusolverDnHandle_t cusolver_ = nullptr;
};

// An owning array in device memory, for the length of an operation. Move-only; freed in stream order, so kernels that
// were launched before may still use it.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer() {
    if (data_ != nullptr) context_->Free(data_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  // Uninitialised.
  static absl::StatusOr<DeviceBuffer> Make(DeviceContext& context, std::int64_t count) {
    DeviceBuffer buffer;
    GPTVQ_ASSIGN_OR_RETURN(void* address, context.Allocate(static_cast<std::size_t>(count) * sizeof(T)));
    buffer.context_ = &context;
    buffer.data_ = static_cast<T*>(address);
    buffer.count_ = count;
    return buffer;
  }
  // In stream order: where the device can read the host's memory by itself CUDA need not have read `values` before the stream
  // is waited for.
  static absl::StatusOr<DeviceBuffer> FromHost(DeviceContext& context, absl::Span<const T> values) {
    GPTVQ_ASSIGN_OR_RETURN(DeviceBuffer buffer, Make(context, static_cast<std::int64_t>(values.size())));
    GPTVQ_RETURN_IF_ERROR(context.CopyToDevice(values.data(), buffer.data_, values.size() * sizeof(T)));
    return buffer;
  }

  // Waits for everything before it on the stream.
  absl::Status ToHostSync(absl::Span<T> values_out) const {
    return context_->CopyToHostSync(data_, values_out.data(), values_out.size() * sizeof(T));
  }

  T* data() const { return data_; }
  std::int64_t count() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }

 private:
  DeviceContext* context_ = nullptr;
  T* data_ = nullptr;
  std::int64_t count_ = 0;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_DEVICE_CONTEXT_H_
