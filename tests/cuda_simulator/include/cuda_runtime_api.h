#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_RUNTIME_API_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_RUNTIME_API_H_

// The part of the CUDA runtime and of its device language that core/cuda uses, on the CPU (tests/cuda_simulator/simt.h).
// Device memory is host memory of exactly the size asked for, filled with NaN. Three devices, which differ in nothing that
// may change a result: in their number of multiprocessors and in the order in which their threads run.

#include <math.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "tests/cuda_simulator/simt.h"

#define CUDART_VERSION 13000

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

enum cudaError_t {
  cudaSuccess,
  cudaErrorInvalidValue,
  cudaErrorMemoryAllocation,
  cudaErrorInitializationError,
  cudaErrorInvalidConfiguration,
  cudaErrorInsufficientDriver,
  cudaErrorDevicesUnavailable,
  cudaErrorStubLibrary,
  cudaErrorNoDevice,
  cudaErrorInvalidDevice,
  cudaErrorNoKernelImageForDevice,
  cudaErrorUnsupportedPtxVersion,
  cudaErrorECCUncorrectable,
  cudaErrorNvlinkUncorrectable,
  cudaErrorIllegalAddress,
  cudaErrorLaunchTimeout,
  cudaErrorContextIsDestroyed,
  cudaErrorExternalDevice,
  cudaErrorMpsClientTerminated,
  cudaErrorAssert,
  cudaErrorHardwareStackError,
  cudaErrorIllegalInstruction,
  cudaErrorMisalignedAddress,
  cudaErrorInvalidAddressSpace,
  cudaErrorInvalidPc,
  cudaErrorLaunchFailure,
  cudaErrorSystemNotReady,
  cudaErrorSystemDriverMismatch,
  cudaErrorCompatNotSupportedOnDevice,
  cudaErrorUnknown,
  cudaErrorNotReady,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDefault };
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold, cudaMemPoolAttrReservedMemCurrent };
struct cudaFuncAttributes {
  std::size_t sharedSizeBytes = 0;  // of static memory, which does not count here
};
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;
using cudaStream_t = void*;
using cudaEvent_t = void*;
using cudaMemPool_t = void*;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor;
  int multiProcessorCount;
  std::size_t sharedMemPerBlockOptin;
  int pciDomainID, pciBusID, pciDeviceID;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t kept_bytes);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaMalloc(void** address, std::size_t bytes);
cudaError_t cudaFree(void* address);
cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* address);
cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function);
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value);

// The device language.
using std::max;
using std::min;
inline void __syncthreads() { gptvq::simt::SyncThreads(); }
inline int __syncthreads_or(int value) { return gptvq::simt::SyncThreadsOr(value != 0); }
inline void __syncwarp() { gptvq::simt::SyncWarp(); }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
  return gptvq::simt::Exchange(value).template At<T>(gptvq::simt::Lane() ^ lane_mask);
}
inline int __any_sync(unsigned, int value) {
  const gptvq::simt::WarpValues& values = gptvq::simt::Exchange(value);
  bool any = false;
  for (int lane = 0; lane < gptvq::simt::kWarp; ++lane) any = any || values.At<int>(lane) != 0;
  return any;
}
inline unsigned __match_any_sync(unsigned, int value) {
  const gptvq::simt::WarpValues& values = gptvq::simt::Exchange(value);
  unsigned peers = 0;
  for (int lane = 0; lane < gptvq::simt::kWarp; ++lane) {
    if (values.At<int>(lane) == value) peers |= 1u << lane;
  }
  return peers;
}
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
template <typename T>
T __ldg(const T* address) {
  return *address;
}
inline void atomicAdd(unsigned long long* address, unsigned long long value) { *address += value; }
inline void atomicMax(unsigned long long* address, unsigned long long value) { *address = max(*address, value); }

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_RUNTIME_API_H_
