#include "core/cuda/cuda_team.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/cuda/context_backend.h"
#include "core/cuda/nccl_interconnect.h"

namespace gptvq {

absl::StatusOr<CudaTeam> MakeCudaTeam(const CudaTeamOptions& options) {
  CudaTeam team;
  std::vector<cuda::DeviceContext*> contexts;
  for (int device : options.devices) {
    GPTVQ_ASSIGN_OR_RETURN(auto context, cuda::DeviceContext::Make(device));
    contexts.push_back(context.get());
    team.backends.push_back(cuda::MakeContextBackend(std::move(context), options.row_unit));
  }
  if (contexts.size() > 1) {
    GPTVQ_ASSIGN_OR_RETURN(team.interconnect, cuda::MakeNcclInterconnect(std::move(contexts), {}));
  }
  return team;
}

}  // namespace gptvq
