#ifndef GPTVQ_CORE_CUDA_CUDA_STATUS_H_
#define GPTVQ_CORE_CUDA_CUDA_STATUS_H_

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <string_view>

#include "absl/status/status.h"

namespace gptvq::cuda {

// The one place where the error codes of CUDA and its libraries become absl::Status. `operation` names what was
// tried.
//
// cudaError: out of memory -> ResourceExhausted; no driver, no device, or a driver older than this build needs ->
// FailedPrecondition, one line that says what to install; an error after which nothing on the device can be trusted
// (illegal address, lost or hung device, uncorrectable memory error) -> DeviceLostError; anything else -> Internal.
absl::Status CudaStatus(cudaError_t error, std::string_view operation);

// cuBLAS and cuSOLVER: failed allocations -> ResourceExhausted, failed execution -> DeviceLostError (the cause is a
// kernel that did not finish), anything else -> Internal.
absl::Status CublasStatus(cublasStatus_t error, std::string_view operation);
absl::Status CusolverStatus(cusolverStatus_t error, std::string_view operation);

// After a kernel launch: CudaStatus of what the launch left behind.
absl::Status LaunchStatus(std::string_view kernel);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_STATUS_H_
