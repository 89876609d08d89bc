#ifndef GPTVQ_CORE_BACKEND_UPLOAD_LANE_H_
#define GPTVQ_CORE_BACKEND_UPLOAD_LANE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace gptvq {

// A piece of a backend's memory; freed on destruction, which may happen on any thread.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* address() const = 0;  // 64-byte aligned
};

// Brings bytes to a backend's memory beside what the backend does: one thread uploads while another one computes. Neither
// waits for the other. Borrows the backend, which outlives it. Thread-compatible.
class UploadLane {
 public:
  // Writes the bytes from `offset` on, all of `piece_out`.
  using Fill = absl::FunctionRef<absl::Status(std::uint64_t offset, absl::Span<std::byte> piece_out)>;

  virtual ~UploadLane() = default;

  // Memory with `bytes` bytes that `fill` gives, piece by piece in order. When it returns they are there, for the thread that
  // computes to use once it knows.
  // Errors: those of `fill`; ResourceExhausted naming the bytes when the device has no room; those of the backend.
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> Upload(std::uint64_t bytes, Fill fill) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_UPLOAD_LANE_H_
