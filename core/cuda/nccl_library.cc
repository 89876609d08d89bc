#include "core/cuda/nccl_library.h"

#include "core/base/status_macros.h"
#include "core/cuda/loaded_library.h"

namespace gptvq::cuda {

absl::StatusOr<NcclLibrary> LoadNcclLibrary() {
  GPTVQ_ASSIGN_OR_RETURN(const LoadedLibrary nccl,
                         LoadedLibrary::Load("libnccl.so.2", "give every GPU a slot of its own"));
  NcclLibrary functions;
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclGetVersion", functions.get_version));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclGetErrorString", functions.get_error_string));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclCommInitAll", functions.comm_init_all));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclCommDestroy", functions.comm_destroy));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclCommAbort", functions.comm_abort));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclCommGetAsyncError", functions.comm_get_async_error));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclGroupStart", functions.group_start));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclGroupEnd", functions.group_end));
  GPTVQ_RETURN_IF_ERROR(nccl.Find("ncclBroadcast", functions.broadcast));
  return functions;
}

}  // namespace gptvq::cuda
