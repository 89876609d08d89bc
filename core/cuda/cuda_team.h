#ifndef GPTVQ_CORE_CUDA_CUDA_TEAM_H_
#define GPTVQ_CORE_CUDA_CUDA_TEAM_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/interconnect.h"
#include "core/cuda/cuda_backend.h"

namespace gptvq {

// CUDA backends for a Team (core/backend/team.h), in order of ranks, and what connects them. Owns both; the interconnect goes
// first, as it works on the backends' streams.
struct CudaTeam {
  std::vector<std::unique_ptr<Backend>> backends;
  std::unique_ptr<Interconnect> interconnect;  // NCCL; null for one device
};

struct CudaTeamOptions {
  std::vector<int> devices;              // CudaDevice::index, each once
  std::int64_t row_unit = kTeamRowUnit;  // of the backends; > 0
};

// One device is a team, too: its results are those of larger ones. Errors: those of MakeCudaBackend; FailedPrecondition when NCCL is
// missing or does not connect the devices.
absl::StatusOr<CudaTeam> MakeCudaTeam(const CudaTeamOptions& options);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CUDA_CUDA_TEAM_H_
