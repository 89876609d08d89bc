#ifndef GPTVQ_CORE_CUDA_NCCL_LIBRARY_H_
#define GPTVQ_CORE_CUDA_NCCL_LIBRARY_H_

#include <nccl.h>

#include "absl/status/statusor.h"

namespace gptvq::cuda {

// The functions of NCCL that are used; loaded as those of CudaLibraries, when a team of several GPUs is made.
struct NcclLibrary {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) get_error_string;
  decltype(&ncclCommInitAll) comm_init_all;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclBroadcast) broadcast;
};

// Errors: FailedPrecondition naming what is missing.
absl::StatusOr<NcclLibrary> LoadNcclLibrary();

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_NCCL_LIBRARY_H_
