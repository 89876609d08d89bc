// What core/cuda is where it was built without CUDA.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/cuda_team.h"

namespace gptvq {
namespace {

absl::Status NoCuda() { return absl::FailedPreconditionError("cuda: this build has no CUDA; use the CPU"); }

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> CudaDevices() { return NoCuda(); }

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions&) { return NoCuda(); }

absl::StatusOr<CudaTeam> MakeCudaTeam(const CudaTeamOptions&) { return NoCuda(); }

}  // namespace gptvq
