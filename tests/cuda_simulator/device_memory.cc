#include "tests/cuda_simulator/device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/cuda_simulator/page_locked_copies.h"
#include "tests/cuda_simulator/stream_work.h"

namespace gptvq::simt {
namespace {

struct Pool {
  std::mutex mutex;
  std::map<const void*, std::size_t> live;   // bytes of every allocation
  std::map<const void*, std::size_t> fixed;  // the same of AllocateFixedMemory
  std::map<std::size_t, std::size_t> kept;   // pieces of every size
  DeviceMemoryUse use;
};

Pool& ThePool() {
  static Pool& pool = *new Pool();
  return pool;
}

bool Holds(const std::map<const void*, std::size_t>& allocations, const void* address) {
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return false;
  --after;
  return address < static_cast<const std::byte*>(after->first) + after->second;
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

void FreeDeviceMemory(void* address, void* stream) {
  Pool& pool = ThePool();
  std::unique_lock lock(pool.mutex);
  const auto allocation = pool.live.find(address);
  if (allocation == pool.live.end()) std::abort();  // never allocated, or freed twice
  CheckNotCopiedTo(address, allocation->second);
  pool.use.live_bytes -= allocation->second;
  pool.use.kept_bytes += allocation->second;
  ++pool.kept[allocation->second];
  pool.live.erase(allocation);
  lock.unlock();
  QueueWork(stream, [address] { std::free(address); });
}

void* AllocateFixedMemory(std::size_t bytes) {
  void* address = std::malloc(bytes);
  const std::lock_guard lock(ThePool().mutex);
  if (address != nullptr) ThePool().fixed[address] = bytes;
  return address;
}

void FreeFixedMemory(void* address) {
  const std::lock_guard lock(ThePool().mutex);
  ThePool().fixed.erase(address);
  std::free(address);
}

bool IsDeviceMemory(const void* address) {
  const std::lock_guard lock(ThePool().mutex);
  return Holds(ThePool().live, address) || Holds(ThePool().fixed, address);
}

void TrimDeviceMemory() {
  const std::lock_guard lock(ThePool().mutex);
  ThePool().kept.clear();
  ThePool().use.kept_bytes = 0;
}

}  // namespace gptvq::simt
