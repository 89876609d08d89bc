#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_PAGE_LOCKED_COPIES_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_PAGE_LOCKED_COPIES_H_

#include <cstddef>
#include <cstdint>

namespace gptvq::simt {

// Copies from page-locked memory, which a device does on its own: as work of a stream (stream_work.h) that reads the memory when it
// is done. So whoever fills such memory again too early sees wrong bytes. Freeing either side of a copy that did not happen yet is
// fatal. Thread-safe.

void* AllocatePageLocked(std::size_t bytes);
void FreePageLocked(void* address);

// True when `from` is page-locked: the copy is then queued on the stream.
bool QueueCopy(void* stream, void* to, const void* from, std::size_t bytes);

// Before memory of the device is freed.
void CheckNotCopiedTo(const void* address, std::size_t bytes);

// Of all copies so far.
std::uint64_t PageLockedBytesCopied();

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_PAGE_LOCKED_COPIES_H_
