#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_NCCL_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_NCCL_H_

// The part of NCCL that core/cuda uses, between simulated devices (tests/cuda_simulator/simulated_nccl.h).

#include <cstddef>

#include "cuda_runtime_api.h"

enum ncclResult_t { ncclSuccess, ncclInternalError, ncclInvalidUsage, ncclRemoteError, ncclInProgress };
enum ncclDataType_t { ncclInt8 };
struct ncclComm;
using ncclComm_t = ncclComm*;

ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclCommInitAll(ncclComm_t* communicators, int count, const int* devices);
ncclResult_t ncclCommDestroy(ncclComm_t communicator);
ncclResult_t ncclCommAbort(ncclComm_t communicator);
ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* error);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();
ncclResult_t ncclBroadcast(const void* source, void* target, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t communicator, cudaStream_t stream);

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_NCCL_H_
