#ifndef GPTVQ_CORE_CUDA_NCCL_INTERCONNECT_H_
#define GPTVQ_CORE_CUDA_NCCL_INTERCONNECT_H_

#include <chrono>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/interconnect.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

struct NcclOptions {
  // How long a copy may take once the devices have come to it; then it hangs. Copies take milliseconds.
  std::chrono::milliseconds timeout{60'000};
};

// The devices of `contexts`, in order of ranks, connected by NCCL within this process. Borrows the contexts, on whose streams
// it works. All calls of NCCL come from one thread at a time, for all ranks at once, and nothing is queued behind them before
// they have ended: no rank can wait in NCCL for one that never comes.
//
// Bytes go through 32 MiB of cudaMalloc on every device: NCCL reads its users' memory from other devices, which memory of
// a stream-ordered pool does not allow.
//
// Errors: FailedPrecondition when NCCL is missing or can not connect the devices; ResourceExhausted.
absl::StatusOr<std::unique_ptr<Interconnect>> MakeNcclInterconnect(std::vector<DeviceContext*> contexts,
                                                                   const NcclOptions& options);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_NCCL_INTERCONNECT_H_
