#include "tests/cuda_simulator/page_locked_copies.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

namespace gptvq::simt {
namespace {

struct Copy {
  std::byte* to;
  const std::byte* from;
  std::size_t bytes;
};

struct Stream {
  std::uint64_t queued = 0;
  std::uint64_t done = 0;
  std::deque<Copy> copies;  // from `done` to `queued`
};

struct Copies {
  std::mutex mutex;
  std::map<const std::byte*, std::size_t> page_locked;
  std::map<void*, Stream> streams;
  std::uint64_t bytes = 0;
};

Copies& TheCopies() {
  static Copies& copies = *new Copies();
  return copies;
}

bool Overlap(const std::byte* a, std::size_t a_bytes, const std::byte* b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

}  // namespace

void* AllocatePageLocked(std::size_t bytes) {
  void* address = std::malloc(bytes);
  if (address == nullptr) return nullptr;
  const std::lock_guard lock(TheCopies().mutex);
  TheCopies().page_locked[static_cast<std::byte*>(address)] = bytes;
  return address;
}

void FreePageLocked(void* address) {
  const std::lock_guard lock(TheCopies().mutex);
  const auto memory = TheCopies().page_locked.find(static_cast<std::byte*>(address));
  if (memory == TheCopies().page_locked.end()) std::abort();  // never allocated, or freed twice
  for (const auto& [stream, queue] : TheCopies().streams) {
    for (const Copy& copy : queue.copies) {
      if (Overlap(copy.from, copy.bytes, memory->first, memory->second)) std::abort();
    }
  }
  TheCopies().page_locked.erase(memory);
  std::free(address);
}

bool QueueCopy(void* stream, void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(TheCopies().mutex);
  const auto* source = static_cast<const std::byte*>(from);
  auto memory = TheCopies().page_locked.upper_bound(source);
  if (memory == TheCopies().page_locked.begin()) return false;
  --memory;
  if (source >= memory->first + memory->second) return false;
  Stream& queue = TheCopies().streams[stream];
  queue.copies.push_back({static_cast<std::byte*>(to), source, bytes});
  ++queue.queued;
  TheCopies().bytes += bytes;
  return true;
}

std::uint64_t QueuedCopies(void* stream) {
  const std::lock_guard lock(TheCopies().mutex);
  const auto queue = TheCopies().streams.find(stream);
  return queue == TheCopies().streams.end() ? 0 : queue->second.queued;
}

void FinishCopies(void* stream, std::uint64_t queued) {
  const std::lock_guard lock(TheCopies().mutex);
  const auto queue = TheCopies().streams.find(stream);
  if (queue == TheCopies().streams.end()) return;
  for (Stream& copies = queue->second; copies.done < queued; ++copies.done) {
    const Copy& copy = copies.copies.front();
    std::memcpy(copy.to, copy.from, copy.bytes);
    copies.copies.pop_front();
  }
}

void CheckNotCopiedTo(const void* address, std::size_t bytes) {
  const std::lock_guard lock(TheCopies().mutex);
  for (const auto& [stream, queue] : TheCopies().streams) {
    for (const Copy& copy : queue.copies) {
      if (Overlap(copy.to, copy.bytes, static_cast<const std::byte*>(address), bytes)) std::abort();
    }
  }
}

std::uint64_t PageLockedBytesCopied() {
  const std::lock_guard lock(TheCopies().mutex);
  return TheCopies().bytes;
}

}  // namespace gptvq::simt
