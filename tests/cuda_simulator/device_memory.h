#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_DEVICE_MEMORY_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_DEVICE_MEMORY_H_

#include <cstddef>

namespace gptvq::simt {

// The memory of the simulated devices, all of them together: a pool that keeps what was freed for allocations of the same
// size, and counts it as used until it is trimmed, as CUDA's pools do at their worst. Thread-safe.
struct DeviceMemoryUse {
  std::size_t live_bytes = 0;
  std::size_t peak_bytes = 0;  // of live_bytes, since the peak was forgotten
  std::size_t kept_bytes = 0;  // freed, not given back
  std::size_t limit_bytes = std::size_t{4} << 30;
};
DeviceMemoryUse MemoryUse();
void ForgetMemoryPeak();

// What all allocations together may use from now on.
void LimitDeviceMemory(std::size_t bytes);

// The calls of the runtime; null when the limit is reached. What is freed counts as that at once, and is gone when the stream
// comes to it.
void* AllocateDeviceMemory(std::size_t bytes);
void FreeDeviceMemory(void* address, void* stream);
void TrimDeviceMemory();

// Not of the pool that counts: what is allocated once, for as long as a team lives.
void* AllocateFixedMemory(std::size_t bytes);
void FreeFixedMemory(void* address);

// Whether `address` lies in memory that is allocated.
bool IsDeviceMemory(const void* address);

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_DEVICE_MEMORY_H_
