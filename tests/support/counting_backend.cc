#include "tests/support/counting_backend.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

class CountedMemory final : public DeviceMemory {
 public:
  CountedMemory(std::unique_ptr<DeviceMemory> memory, std::size_t bytes, std::shared_ptr<MemoryCount> count)
      : memory_(std::move(memory)), bytes_(bytes), count_(std::move(count)) {
    count_->Add(bytes_);
  }
  ~CountedMemory() override { count_->Remove(bytes_); }

  void* address() const override { return memory_->address(); }

 private:
  const std::unique_ptr<DeviceMemory> memory_;
  const std::size_t bytes_;
  const std::shared_ptr<MemoryCount> count_;
};

}  // namespace

void MemoryCount::Add(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  held_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, held_bytes_);
}

void MemoryCount::Remove(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  held_bytes_ -= bytes;
}

std::size_t MemoryCount::held_bytes() const {
  const std::lock_guard lock(mutex_);
  return held_bytes_;
}

std::size_t MemoryCount::peak_bytes() const {
  const std::lock_guard lock(mutex_);
  return peak_bytes_;
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> CountingBackend::Allocate(std::size_t bytes) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, ForwardingBackend::Allocate(bytes));
  ++allocations_;
  return std::make_unique<CountedMemory>(std::move(memory), bytes, count_);
}

}  // namespace gptvq
