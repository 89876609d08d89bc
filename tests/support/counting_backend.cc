#include "tests/support/counting_backend.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

class CountedMemory final : public DeviceMemory {
 public:
  CountedMemory(std::unique_ptr<DeviceMemory> memory, std::size_t bytes, std::shared_ptr<std::size_t> held_bytes)
      : memory_(std::move(memory)), bytes_(bytes), held_bytes_(std::move(held_bytes)) {
    *held_bytes_ += bytes_;
  }
  ~CountedMemory() override { *held_bytes_ -= bytes_; }

  void* address() const override { return memory_->address(); }

 private:
  const std::unique_ptr<DeviceMemory> memory_;
  const std::size_t bytes_;
  const std::shared_ptr<std::size_t> held_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> CountingBackend::Allocate(std::size_t bytes) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_.Allocate(bytes));
  auto counted = std::make_unique<CountedMemory>(std::move(memory), bytes, held_bytes_);
  peak_bytes_ = std::max(peak_bytes_, *held_bytes_);
  return counted;
}

}  // namespace gptvq
