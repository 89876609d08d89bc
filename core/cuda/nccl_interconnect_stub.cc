// What connects GPUs where core/cuda was built without NCCL.
#include "core/cuda/nccl_interconnect.h"

namespace gptvq::cuda {

absl::StatusOr<std::unique_ptr<Interconnect>> MakeNcclInterconnect(std::vector<DeviceContext*>, const NcclOptions&) {
  return absl::FailedPreconditionError("cuda: this build has no NCCL; give every GPU a slot of its own");
}

}  // namespace gptvq::cuda
