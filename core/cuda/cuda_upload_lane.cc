#include "core/cuda/cuda_upload_lane.h"

#include <algorithm>
#include <utility>

#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_status.h"

namespace gptvq::cuda {

absl::StatusOr<std::unique_ptr<CudaUploadLane>> CudaUploadLane::Make(DeviceContext& context) {
  GPTVQ_RETURN_IF_ERROR(context.Activate());
  std::unique_ptr<CudaUploadLane> lane(new CudaUploadLane(context));
  GPTVQ_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&lane->stream_, cudaStreamNonBlocking), "cudaStreamCreate"));
  for (Piece& piece : lane->pieces_) {
    const cudaError_t error = cudaHostAlloc(&piece.memory, kPieceBytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) (void)cudaGetLastError();  // not sticky: the next launch must not see it
    GPTVQ_RETURN_IF_ERROR(CudaStatus(error, "page-locked memory for copies to the device"));
    GPTVQ_RETURN_IF_ERROR(
        CudaStatus(cudaEventCreateWithFlags(&piece.copied, cudaEventDisableTiming), "cudaEventCreate"));
  }
  return lane;
}

CudaUploadLane::~CudaUploadLane() {
  // Nothing can be done about an error here, and the stream is idle: every Upload waits for its copies.
  (void)context_.Activate();
  for (const Piece& piece : pieces_) {
    if (piece.copied != nullptr) (void)cudaEventDestroy(piece.copied);
    if (piece.memory != nullptr) (void)cudaFreeHost(piece.memory);
  }
  if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> CudaUploadLane::Upload(std::uint64_t bytes, Fill fill) {
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(void* const target, context_.AllocateOn(stream_, bytes));
  auto memory = std::make_unique<CudaMemory>(context_, target);  // freed on the stream that computes with it
  absl::Status status = CopyPieces(target, bytes, fill);
  // Also after an error: nothing may be on its way to memory that is freed, nor from a piece that is filled again.
  status.Update(CudaStatus(cudaStreamSynchronize(stream_), "copy of a layer ahead"));
  GPTVQ_RETURN_IF_ERROR(status);
  return memory;
}

absl::Status CudaUploadLane::CopyPieces(void* target, std::uint64_t bytes, Fill fill) {
  std::size_t turn = 0;
  for (std::uint64_t offset = 0; offset < bytes; offset += kPieceBytes) {
    const Piece& piece = pieces_[turn++ % pieces_.size()];
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, bytes - offset));
    GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(piece.copied), "copy of a layer ahead"));
    GPTVQ_RETURN_IF_ERROR(fill(offset, absl::MakeSpan(static_cast<std::byte*>(piece.memory), count)));
    GPTVQ_RETURN_IF_ERROR(CudaStatus(
        cudaMemcpyAsync(static_cast<std::byte*>(target) + offset, piece.memory, count, cudaMemcpyHostToDevice, stream_),
        "copy of a layer ahead"));
    GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(piece.copied, stream_), "cudaEventRecord"));
  }
  return absl::OkStatus();
}

}  // namespace gptvq::cuda
