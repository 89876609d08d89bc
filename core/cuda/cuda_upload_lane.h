#ifndef GPTVQ_CORE_CUDA_CUDA_UPLOAD_LANE_H_
#define GPTVQ_CORE_CUDA_CUDA_UPLOAD_LANE_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/upload_lane.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

// Copies on a stream of their own, from two page-locked pieces of host memory in turn: one is filled while the other one is on
// its way, and a piece is filled again once the event behind its copy has come. Owns stream, pieces and events; borrows
// the context, of whose state it uses only what never changes. Thread-compatible.
class CudaUploadLane final : public UploadLane {
 public:
  // Some 0.3 ms over PCIe 5, beside which launching a copy is nothing.
  static constexpr std::size_t kPieceBytes = std::size_t{16} << 20;

  // Errors: ResourceExhausted when the host has no memory to lock.
  static absl::StatusOr<std::unique_ptr<CudaUploadLane>> Make(DeviceContext& context);
  ~CudaUploadLane() override;

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Upload(std::uint64_t bytes, Fill fill) override;

 private:
  struct Piece {
    void* memory = nullptr;
    cudaEvent_t copied = nullptr;  // complete before the first copy, too
  };

  explicit CudaUploadLane(DeviceContext& context) : context_(context) {}

  absl::Status CopyPieces(void* target, std::uint64_t bytes, Fill fill);

  DeviceContext& context_;
  cudaStream_t stream_ = nullptr;
  std::array<Piece, 2> pieces_;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_UPLOAD_LANE_H_
