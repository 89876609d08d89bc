#include "tests/cuda_simulator/device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/cuda_simulator/page_locked_copies.h"

namespace gptvq::simt {
namespace {

struct Pool {
  std::mutex mutex;
  std::map<void*, std::size_t> live;        // bytes of every allocation
  std::map<std::size_t, std::size_t> kept;  // pieces of every size
  DeviceMemoryUse use;
};

Pool& ThePool() {
  static Pool& pool = *new Pool();
  return pool;
}

}  // namespace

DeviceMemoryUse MemoryUse() {
  const std::lock_guard lock(ThePool().mutex);
  return ThePool().use;
}
void ForgetMemoryPeak() {
  const std::lock_guard lock(ThePool().mutex);
  ThePool().use.peak_bytes = ThePool().use.live_bytes;
}
void LimitDeviceMemory(std::size_t bytes) {
  const std::lock_guard lock(ThePool().mutex);
  ThePool().use.limit_bytes = bytes;
}

void* AllocateDeviceMemory(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  Pool& pool = ThePool();
  const std::lock_guard lock(pool.mutex);
  if (const auto kept = pool.kept.find(bytes); kept != pool.kept.end()) {
    pool.use.kept_bytes -= bytes;
    if (--kept->second == 0) pool.kept.erase(kept);
  }
  void* address = nullptr;
  if (bytes > pool.use.limit_bytes || pool.use.live_bytes + pool.use.kept_bytes > pool.use.limit_bytes - bytes ||
      posix_memalign(&address, kAlignment, bytes) != 0) {
    return nullptr;
  }
  std::memset(address, 0xff, bytes);
  pool.live[address] = bytes;
  pool.use.live_bytes += bytes;
  pool.use.peak_bytes = std::max(pool.use.peak_bytes, pool.use.live_bytes);
  return address;
}

void FreeDeviceMemory(void* address) {
  Pool& pool = ThePool();
  const std::lock_guard lock(pool.mutex);
  const auto allocation = pool.live.find(address);
  if (allocation == pool.live.end()) std::abort();  // never allocated, or freed twice
  CheckNotCopiedTo(address, allocation->second);
  pool.use.live_bytes -= allocation->second;
  pool.use.kept_bytes += allocation->second;
  ++pool.kept[allocation->second];
  pool.live.erase(allocation);
  std::free(address);
}

void TrimDeviceMemory() {
  const std::lock_guard lock(ThePool().mutex);
  ThePool().kept.clear();
  ThePool().use.kept_bytes = 0;
}

}  // namespace gptvq::simt
