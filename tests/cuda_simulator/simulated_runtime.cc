// The runtime's calls on host memory. What a stream is asked to do happens when somebody waits for it (stream_work.h); copies to
// memory of the host that is not page-locked wait by themselves, and those from it take what is there when they are asked for.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"
#include "tests/cuda_simulator/device_memory.h"
#include "tests/cuda_simulator/page_locked_copies.h"
#include "tests/cuda_simulator/stream_work.h"

namespace simt = gptvq::simt;

namespace {

struct SimulatedDevice {
  simt::Order order;
  int multiprocessors;
};
constexpr SimulatedDevice kDevices[] = {
    {simt::Order::kAscending, 1}, {simt::Order::kDescending, 132}, {simt::Order::kShuffled, 4}};
constexpr int kDeviceCount = static_cast<int>(std::size(kDevices));
constexpr std::size_t kMemoryBytes = std::size_t{4} << 30;
constexpr std::size_t kSharedBytesPerBlock = 227 << 10;  // compute capability 9.0

std::atomic<bool> events_are_pending = false;
thread_local int current_device = 0;

cudaError_t Kept(cudaError_t error) { return static_cast<cudaError_t>(simt::KeepError(error)); }

// How much work of a stream comes before it.
struct Event {
  cudaStream_t stream = nullptr;
  std::uint64_t queued = 0;
};

void CopyRows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
              std::size_t height) {
  for (std::size_t row = 0; row < height; ++row) {
    std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
  }
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  static std::string name;
  name = "cudaError" + std::to_string(static_cast<int>(error));
  return name.c_str();
}
const char* cudaGetErrorString(cudaError_t) { return "simulated"; }
cudaError_t cudaGetLastError() { return static_cast<cudaError_t>(simt::TakeError()); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDeviceCount;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= kDeviceCount) return Kept(cudaErrorInvalidDevice);
  std::snprintf(properties->name, sizeof(properties->name), "simulator");
  properties->totalGlobalMem = kMemoryBytes;
  properties->major = 9;
  properties->minor = 0;
  properties->multiProcessorCount = kDevices[device].multiprocessors;
  properties->sharedMemPerBlockOptin = kSharedBytesPerBlock;
  properties->pciDomainID = 0;
  properties->pciBusID = 0x10 + device;
  properties->pciDeviceID = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDeviceCount) return Kept(cudaErrorInvalidDevice);
  current_device = device;
  simt::SetOrder(kDevices[device].order);
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  if (device < 0 || device >= kDeviceCount) return Kept(cudaErrorInvalidDevice);
  *value = static_cast<int>(kSharedBytesPerBlock);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  if (attribute != cudaMemPoolAttrReservedMemCurrent) return Kept(cudaErrorInvalidValue);
  const simt::DeviceMemoryUse use = simt::MemoryUse();
  *static_cast<std::uint64_t*>(value) = use.live_bytes + use.kept_bytes;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  const simt::DeviceMemoryUse use = simt::MemoryUse();
  *total_bytes = use.limit_bytes;
  *free_bytes = use.limit_bytes - std::min(use.limit_bytes, use.live_bytes + use.kept_bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new char();  // an address of its own
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  simt::FinishWork(stream, simt::QueuedWork(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  (void)cudaStreamSynchronize(stream);
  simt::ForgetStream(stream);
  delete static_cast<char*>(stream);
  return cudaSuccess;
}

// An event is complete when somebody asks for it, unless something is made to hang.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event();
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *static_cast<Event*>(event) = {stream, simt::QueuedWork(stream)};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Event& recorded = *static_cast<Event*>(event);
  if (recorded.stream != nullptr) simt::FinishWork(recorded.stream, recorded.queued);
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return events_are_pending ? Kept(cudaErrorNotReady) : cudaEventSynchronize(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete static_cast<Event*>(event);
  return cudaSuccess;
}
void simt::SetEventsPending(bool pending) { events_are_pending = pending; }

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
  *address = simt::AllocateFixedMemory(bytes);
  return Kept(*address == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFree(void* address) {
  simt::FreeFixedMemory(address);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  *address = simt::AllocatePageLocked(bytes);
  return Kept(*address == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFreeHost(void* address) {
  simt::FreePageLocked(address);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t) {
  *address = simt::AllocateDeviceMemory(bytes);
  return Kept(*address == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  simt::FreeDeviceMemory(address, stream);
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  simt::TrimDeviceMemory();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (simt::QueueCopy(stream, to, from, bytes)) return cudaSuccess;
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return Kept(cudaErrorInvalidValue);
  if (simt::IsDeviceMemory(from)) {
    simt::QueueWork(stream, [=] { CopyRows(to, to_pitch, from, from_pitch, width, height); });
    return simt::IsDeviceMemory(to) ? cudaSuccess : cudaStreamSynchronize(stream);
  }
  auto staged = std::make_shared<std::vector<char>>(width * height);
  CopyRows(staged->data(), width, from, from_pitch, width, height);
  simt::QueueWork(stream, [=] { CopyRows(to, to_pitch, staged->data(), width, width, height); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  simt::QueueWork(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  if (width > pitch) return Kept(cudaErrorInvalidValue);
  simt::QueueWork(stream, [=] {
    for (std::size_t row = 0; row < height; ++row) std::memset(static_cast<char*>(to) + row * pitch, value, width);
  });
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<std::size_t>(value) > kSharedBytesPerBlock) return Kept(cudaErrorInvalidValue);
  simt::AllowSharedBytes(function, static_cast<std::size_t>(value));
  return cudaSuccess;
}
