#include "tests/cuda_simulator/page_locked_copies.h"

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <list>
#include <map>
#include <mutex>

#include "tests/cuda_simulator/stream_work.h"

namespace gptvq::simt {
namespace {

struct Copy {
  std::byte* to;
  const std::byte* from;
  std::size_t bytes;
};

struct Copies {
  std::mutex mutex;
  std::map<const std::byte*, std::size_t> page_locked;
  std::list<Copy> pending;
  std::uint64_t bytes = 0;
};

Copies& TheCopies() {
  static Copies& copies = *new Copies();
  return copies;
}

bool Overlap(const std::byte* a, std::size_t a_bytes, const std::byte* b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

void Finish(std::list<Copy>::iterator copy) {
  const std::lock_guard lock(TheCopies().mutex);
  std::memcpy(copy->to, copy->from, copy->bytes);
  TheCopies().pending.erase(copy);
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
  for (const Copy& copy : TheCopies().pending) {
    if (Overlap(copy.from, copy.bytes, memory->first, memory->second)) std::abort();
  }
  TheCopies().page_locked.erase(memory);
  std::free(address);
}

bool QueueCopy(void* stream, void* to, const void* from, std::size_t bytes) {
  std::list<Copy>::iterator copy;
  {
    const std::lock_guard lock(TheCopies().mutex);
    const auto* source = static_cast<const std::byte*>(from);
    auto memory = TheCopies().page_locked.upper_bound(source);
    if (memory == TheCopies().page_locked.begin()) return false;
    --memory;
    if (source >= memory->first + memory->second) return false;
    TheCopies().pending.push_back({static_cast<std::byte*>(to), source, bytes});
    copy = std::prev(TheCopies().pending.end());
    TheCopies().bytes += bytes;
  }
  QueueWork(stream, [copy] { Finish(copy); });
  return true;
}

void CheckNotCopiedTo(const void* address, std::size_t bytes) {
  const std::lock_guard lock(TheCopies().mutex);
  for (const Copy& copy : TheCopies().pending) {
    if (Overlap(copy.to, copy.bytes, static_cast<const std::byte*>(address), bytes)) std::abort();
  }
}

std::uint64_t PageLockedBytesCopied() {
  const std::lock_guard lock(TheCopies().mutex);
  return TheCopies().bytes;
}

}  // namespace gptvq::simt
