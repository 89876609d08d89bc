#ifndef GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_
#define GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "tests/support/forwarding_backend.h"

namespace gptvq {

// Bytes of one memory, of which several backends may allocate. Thread-safe.
class MemoryCount {
 public:
  void Add(std::size_t bytes);
  void Remove(std::size_t bytes);
  std::size_t held_bytes() const;
  std::size_t peak_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::size_t held_bytes_ = 0;  // guarded by mutex_, as is the peak
  std::size_t peak_bytes_ = 0;
};

// Counts what is allocated from a backend.
class CountingBackend : public ForwardingBackend {
 public:
  // Backends of one memory share the count.
  explicit CountingBackend(std::unique_ptr<Backend> target,
                           std::shared_ptr<MemoryCount> count = std::make_shared<MemoryCount>())
      : ForwardingBackend(std::move(target)), count_(std::move(count)) {}

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override;

  const MemoryCount& count() const { return *count_; }
  int allocations() const { return allocations_; }  // by this backend

 private:
  const std::shared_ptr<MemoryCount> count_;  // shared with the pieces, which may outlive this object
  int allocations_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_COUNTING_BACKEND_H_
