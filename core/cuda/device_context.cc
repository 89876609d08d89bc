#include "core/cuda/device_context.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/cuda/matrix_kernels.h"

namespace gptvq::cuda {
namespace {

absl::StatusOr<cudaMemPool_t> PoolOf(int device) {
  cudaMemPool_t pool = nullptr;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool"));
  return pool;
}

absl::Status KeepFreedMemory(int device) {
  // The default pool gives memory back to the driver at every synchronisation; allocations of the next
  // operation would then cost as much as cudaMalloc.
  GPTVQ_ASSIGN_OR_RETURN(cudaMemPool_t pool, PoolOf(device));
  std::uint64_t threshold = UINT64_MAX;
  return CudaStatus(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold),
                    "cudaMemPoolSetAttribute");
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceContext>> DeviceContext::Make(int device) {
  int count = 0;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceCount(&count), "cudaGetDeviceCount"));
  if (device < 0 || device >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("cuda: there is no device ", device, "; this machine has ", count));
  }
  cudaDeviceProp properties;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties"));
  if (properties.major < kLeastComputeMajor) {
    return absl::FailedPreconditionError(absl::StrCat("cuda: ", properties.name, " has compute capability ",
                                                      properties.major, ".", properties.minor,
                                                      "; 8.0 or later is needed; use another device or the CPU"));
  }
  std::unique_ptr<DeviceContext> context(new DeviceContext());
  context->device_ = device;
  context->device_name_ = properties.name;
  context->total_bytes_ = properties.totalGlobalMem;
  context->limits_.multiprocessors = properties.multiProcessorCount;
  context->limits_.shared_bytes = static_cast<std::int64_t>(properties.sharedMemPerBlockOptin);
  GPTVQ_ASSIGN_OR_RETURN(context->libraries_, LoadCudaLibraries());
  GPTVQ_RETURN_IF_ERROR(context->Activate());
  GPTVQ_RETURN_IF_ERROR(CheckKernelsFitDevice());
  GPTVQ_RETURN_IF_ERROR(KeepFreedMemory(device));
  GPTVQ_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&context->stream_, cudaStreamNonBlocking), "cudaStreamCreate"));
  return context;
}

DeviceContext::~DeviceContext() {
  // Nothing can be done about an error here, and what caused it was reported by the call that met it.
  (void)cudaSetDevice(device_);
  if (stream_ != nullptr) (void)cudaStreamSynchronize(stream_);
  if (cusolver_ != nullptr) (void)libraries_.cusolver_destroy(cusolver_);
  if (cublas_ != nullptr) (void)libraries_.cublas_destroy(cublas_);
  if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
}

absl::StatusOr<cublasHandle_t> DeviceContext::Cublas() {
  if (cublas_ != nullptr) return cublas_;
  GPTVQ_RETURN_IF_ERROR(CublasStatus(libraries_.cublas_create(&cublas_), "cublasCreate"));
  GPTVQ_RETURN_IF_ERROR(CublasStatus(libraries_.cublas_set_stream(cublas_, stream_), "cublasSetStream"));
  // Partial sums of a bf16 result stay f32, whatever algorithm is chosen.
  const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
  GPTVQ_RETURN_IF_ERROR(CublasStatus(libraries_.cublas_set_math_mode(cublas_, mode), "cublasSetMathMode"));
  GPTVQ_RETURN_IF_ERROR(
      CublasStatus(libraries_.cublas_set_atomics_mode(cublas_, CUBLAS_ATOMICS_NOT_ALLOWED), "cublasSetAtomicsMode"));
  return cublas_;
}

absl::StatusOr<cusolverDnHandle_t> DeviceContext::Cusolver() {
  if (cusolver_ != nullptr) return cusolver_;
  GPTVQ_RETURN_IF_ERROR(CusolverStatus(libraries_.cusolver_create(&cusolver_), "cusolverDnCreate"));
  GPTVQ_RETURN_IF_ERROR(CusolverStatus(libraries_.cusolver_set_stream(cusolver_, stream_), "cusolverDnSetStream"));
  GPTVQ_RETURN_IF_ERROR(
      CusolverStatus(libraries_.cusolver_set_deterministic_mode(cusolver_, CUSOLVER_DETERMINISTIC_RESULTS),
                     "cusolverDnSetDeterministicMode"));
  return cusolver_;
}

absl::StatusOr<void*> DeviceContext::Allocate(std::size_t bytes) {
  void* address = nullptr;
  cudaError_t error = TryAllocate(bytes, stream_, &address);
  if (error == cudaErrorMemoryAllocation && bytes <= total_bytes_) {
    GPTVQ_RETURN_IF_ERROR(GiveKeptMemoryBack());
    error = TryAllocate(bytes, stream_, &address);
  }
  GPTVQ_RETURN_IF_ERROR(NoMemory(error, bytes));
  return address;
}

absl::StatusOr<void*> DeviceContext::AllocateOn(cudaStream_t stream, std::size_t bytes) {
  void* address = nullptr;
  GPTVQ_RETURN_IF_ERROR(NoMemory(TryAllocate(bytes, stream, &address), bytes));
  return address;
}

cudaError_t DeviceContext::TryAllocate(std::size_t bytes, cudaStream_t stream, void** address_out) {
  if (bytes > total_bytes_) return cudaErrorMemoryAllocation;
  const cudaError_t error = cudaMallocAsync(address_out, std::max<std::size_t>(bytes, 1), stream);
  if (error == cudaErrorMemoryAllocation) (void)cudaGetLastError();  // not sticky: the next launch must not see it
  return error;
}

absl::Status DeviceContext::NoMemory(cudaError_t error, std::size_t bytes) const {
  if (error == cudaSuccess) return absl::OkStatus();
  return CudaStatus(error, absl::StrCat("no memory for ", bytes, " bytes on ", device_name_));
}

absl::StatusOr<std::uint64_t> DeviceContext::CapacityBytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo"));
  GPTVQ_ASSIGN_OR_RETURN(cudaMemPool_t pool, PoolOf(device_));
  std::uint64_t pool_bytes = 0;
  GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &pool_bytes),
                                   "cudaMemPoolGetAttribute"));
  return free_bytes + pool_bytes;
}

absl::Status DeviceContext::GiveKeptMemoryBack() {
  GPTVQ_ASSIGN_OR_RETURN(cudaMemPool_t pool, PoolOf(device_));
  GPTVQ_RETURN_IF_ERROR(Sync("before memory is given back"));  // what is freed in stream order is free by then
  return CudaStatus(cudaMemPoolTrimTo(pool, 0), "cudaMemPoolTrimTo");
}

void DeviceContext::Free(void* address) {
  // Any thread may free. After a lost device this fails, and the process is about to end.
  (void)cudaSetDevice(device_);
  (void)cudaFreeAsync(address, stream_);
}

absl::Status DeviceContext::CopyToDevice(const void* host, void* device_out, std::size_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(cudaMemcpyAsync(device_out, host, bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
}

absl::Status DeviceContext::CopyToHostSync(const void* device, void* host_out, std::size_t bytes) {
  if (bytes > 0) {
    GPTVQ_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(host_out, device, bytes, cudaMemcpyDeviceToHost, stream_), "copy to the host"));
  }
  return Sync("copy to the host");
}

absl::Status DeviceContext::Zero(void* device_out, std::size_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(cudaMemsetAsync(device_out, 0, bytes, stream_), "fill with zeros");
}

}  // namespace gptvq::cuda
