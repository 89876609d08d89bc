#include "core/cuda/nccl_interconnect.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/device_lost.h"
#include "core/base/status_macros.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/nccl_library.h"

namespace gptvq::cuda {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{32} << 20;

// What one rank holds: its communicator, memory that NCCL may read from elsewhere, and the mark behind a copy.
struct Rank {
  DeviceContext* context = nullptr;
  ncclComm_t communicator = nullptr;
  void* staging = nullptr;
  cudaEvent_t copied = nullptr;
};

class NcclInterconnect final : public Interconnect {
 public:
  NcclInterconnect(const NcclLibrary& nccl, const NcclOptions& options) : nccl_(nccl), options_(options) {}
  ~NcclInterconnect() override;

  absl::Status Connect(std::vector<DeviceContext*> contexts);

  std::string name() const override { return name_; }
  absl::Status Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) override;

 private:
  absl::Status BroadcastPiece(int root, absl::Span<void* const> addresses, std::size_t offset, std::size_t bytes);
  absl::Status QueueBroadcast(int root, std::size_t bytes);
  absl::Status WaitForCopies();
  absl::Status WaitForRank(const Rank& rank, std::chrono::steady_clock::time_point deadline);
  std::string Describe(std::string_view operation, ncclResult_t result) const {
    return absl::StrCat("nccl: ", absl::string_view(operation.data(), operation.size()), ": ",
                        nccl_.get_error_string(result));
  }
  // Ends what NCCL still does on the devices. Nothing is left to be used after that.
  absl::Status Abort(const absl::Status& cause);

  const NcclLibrary nccl_;
  const NcclOptions options_;
  std::string name_;
  std::vector<Rank> ranks_;
};

absl::Status NcclInterconnect::Connect(std::vector<DeviceContext*> contexts) {
  std::vector<int> devices;
  for (DeviceContext* context : contexts) {
    GPTVQ_RETURN_IF_ERROR(context->Activate());
    ranks_.push_back({.context = context});
    Rank& rank = ranks_.back();
    GPTVQ_RETURN_IF_ERROR(CudaStatus(cudaMalloc(&rank.staging, kStagingBytes), "memory for NCCL"));
    GPTVQ_RETURN_IF_ERROR(
        CudaStatus(cudaEventCreateWithFlags(&rank.copied, cudaEventDisableTiming), "cudaEventCreate"));
    devices.push_back(context->device());
  }
  int version = 0;
  (void)nccl_.get_version(&version);
  name_ = absl::StrCat("nccl ", version / 10000, ".", version / 100 % 100, ".", version % 100);
  std::vector<ncclComm_t> communicators(ranks_.size(), nullptr);
  const ncclResult_t result =
      nccl_.comm_init_all(communicators.data(), static_cast<int>(devices.size()), devices.data());
  if (result != ncclSuccess) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe("the devices do not connect", result),
                     "; NCCL_DEBUG=INFO makes it say why; or give every GPU a slot of its own"));
  }
  for (std::size_t r = 0; r < ranks_.size(); ++r) ranks_[r].communicator = communicators[r];
  return absl::OkStatus();
}

NcclInterconnect::~NcclInterconnect() {
  // Nothing can be done about an error here; streams are idle, as every Broadcast has ended.
  for (const Rank& rank : ranks_) {
    (void)rank.context->Activate();
    if (rank.communicator != nullptr) (void)nccl_.comm_destroy(rank.communicator);
    if (rank.copied != nullptr) (void)cudaEventDestroy(rank.copied);
    if (rank.staging != nullptr) (void)cudaFree(rank.staging);
  }
}

absl::Status NcclInterconnect::Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) {
  if (addresses.size() != ranks_.size()) return absl::InternalError("nccl: a broadcast without all devices");
  for (std::size_t offset = 0; offset < bytes; offset += kStagingBytes) {
    GPTVQ_RETURN_IF_ERROR(BroadcastPiece(root, addresses, offset, std::min(kStagingBytes, bytes - offset)));
  }
  return absl::OkStatus();
}

absl::Status NcclInterconnect::BroadcastPiece(int root, absl::Span<void* const> addresses, std::size_t offset,
                                              std::size_t bytes) {
  const auto address = [&](int rank) { return static_cast<char*>(addresses[rank]) + offset; };
  const auto copy = [&](const Rank& rank, void* to, const void* from) -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(rank.context->Activate());
    return CudaStatus(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, rank.context->stream()), "copy for NCCL");
  };
  GPTVQ_RETURN_IF_ERROR(copy(ranks_[root], ranks_[root].staging, address(root)));
  // What the devices still have to do before is not counted against NCCL.
  for (const Rank& rank : ranks_) {
    GPTVQ_RETURN_IF_ERROR(rank.context->Activate());
    GPTVQ_RETURN_IF_ERROR(rank.context->Sync("before a broadcast"));
  }
  GPTVQ_RETURN_IF_ERROR(QueueBroadcast(root, bytes));
  for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) {
    if (r != root) GPTVQ_RETURN_IF_ERROR(copy(ranks_[r], address(r), ranks_[r].staging));
    GPTVQ_RETURN_IF_ERROR(ranks_[r].context->Activate());
    GPTVQ_RETURN_IF_ERROR(
        CudaStatus(cudaEventRecord(ranks_[r].copied, ranks_[r].context->stream()), "cudaEventRecord"));
  }
  return WaitForCopies();
}

// One thread speaks for all ranks, so their calls form a group; it is closed whatever happens inside.
absl::Status NcclInterconnect::QueueBroadcast(int root, std::size_t bytes) {
  ncclResult_t result = nccl_.group_start();
  for (const Rank& rank : ranks_) {
    if (result != ncclSuccess) break;
    result =
        nccl_.broadcast(rank.staging, rank.staging, bytes, ncclInt8, root, rank.communicator, rank.context->stream());
  }
  const ncclResult_t end = nccl_.group_end();
  if (result == ncclSuccess) result = end;
  return result == ncclSuccess ? absl::OkStatus() : Abort(absl::InternalError(Describe("ncclBroadcast", result)));
}

absl::Status NcclInterconnect::WaitForCopies() {
  const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
  for (const Rank& rank : ranks_) {
    if (const absl::Status status = WaitForRank(rank, deadline); !status.ok()) return Abort(status);
  }
  return absl::OkStatus();
}

// Asks again and again: a wait inside CUDA would not end when NCCL hangs.
absl::Status NcclInterconnect::WaitForRank(const Rank& rank, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const cudaError_t state = cudaEventQuery(rank.copied);
    if (state != cudaErrorNotReady) return CudaStatus(state, "a broadcast by NCCL");
    (void)cudaGetLastError();  // CUDA keeps it as an error; the next launch must not see it
    ncclResult_t result = ncclSuccess;
    const ncclResult_t asked = nccl_.comm_get_async_error(rank.communicator, &result);
    if (asked != ncclSuccess) result = asked;
    if (result != ncclSuccess && result != ncclInProgress) {
      return absl::InternalError(Describe("a broadcast", result));
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::InternalError(absl::StrCat("nccl: cuda:", rank.context->device(), " did not end a broadcast in ",
                                              options_.timeout.count(), " ms"));
    }
    std::this_thread::yield();
  }
}

absl::Status NcclInterconnect::Abort(const absl::Status& cause) {
  for (Rank& rank : ranks_) {
    (void)rank.context->Activate();
    if (rank.communicator != nullptr) (void)nccl_.comm_abort(rank.communicator);
    rank.communicator = nullptr;
  }
  return DeviceLostError(std::string_view(cause.message().data(), cause.message().size()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Interconnect>> MakeNcclInterconnect(std::vector<DeviceContext*> contexts,
                                                                   const NcclOptions& options) {
  GPTVQ_ASSIGN_OR_RETURN(const NcclLibrary nccl, LoadNcclLibrary());
  auto interconnect = std::make_unique<NcclInterconnect>(nccl, options);
  GPTVQ_RETURN_IF_ERROR(interconnect->Connect(std::move(contexts)));
  return interconnect;
}

}  // namespace gptvq::cuda
