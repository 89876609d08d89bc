#ifndef GPTVQ_CORE_BACKEND_BACKEND_H_
#define GPTVQ_CORE_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/forward_ops.h"
#include "core/backend/quant_ops.h"
#include "core/backend/tensor_view.h"
#include "core/backend/upload_lane.h"
#include "core/base/dtype.h"

namespace gptvq {

// A place where models are calibrated and quantized: the CPU, or one CUDA device. The recipe, the forward pass and the
// evaluation are written once against this interface; core/cpu and core/cuda implement it and one conformance suite
// holds both against float64. Thread-compatible: one thread uses a backend at a time.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0"
  // Results are bitwise equal inside one class and only there, e.g. "cpu-avx512/1": instruction set and kernel version.
  virtual std::string numerics_class() const = 0;
  virtual DType activation_dtype() const = 0;
  // A product of f32 matrices gives a row the same bytes whatever other rows there are, if they begin a multiple of so many
  // rows away: where the rows of a linear may be cut between the backends of a team. 0: rows must stay together.
  virtual std::int64_t row_unit() const = 0;

  virtual ForwardOps& forward() = 0;
  virtual QuantOps& quant() = 0;

  // Uninitialised memory. Errors: ResourceExhausted naming the bytes asked for.
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) = 0;

  // What of the memory can be the backend's, with what is: all but what others use. Without limit where that is nothing to plan
  // with: the memory is the host's.
  virtual absl::StatusOr<std::uint64_t> CapacityBytes() { return std::numeric_limits<std::uint64_t>::max(); }

  // Copies between f32 in host memory and a matrix in backend memory, converting to and from its dtype. Synchronous.
  virtual absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) = 0;
  virtual absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) = 0;

  // Bytes as they are, between host and backend memory, or inside it (CopyInside). Synchronous for the host's side.
  virtual absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) = 0;
  virtual absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) = 0;
  virtual absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) = 0;
  virtual absl::Status FillZero(void* target_out, std::size_t bytes) = 0;

  // Waits for all that was asked of this backend. From then on other backends of the same memory may use what it wrote, and what it
  // read may be freed. Nothing to do where every operation has ended when it returns.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // A way for another thread to bring bytes to this memory while this one computes. Null where that is nothing to wait for: the
  // memory is the host's. Errors: those of allocations.
  virtual absl::StatusOr<std::unique_ptr<UploadLane>> MakeUploadLane() { return std::unique_ptr<UploadLane>(); }
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_BACKEND_H_
