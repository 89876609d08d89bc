#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUSOLVERDN_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUSOLVERDN_H_

// The part of cuSOLVER that core/cuda uses, as loops.

#include "cublas_v2.h"

enum cusolverStatus_t {
  CUSOLVER_STATUS_SUCCESS,
  CUSOLVER_STATUS_ALLOC_FAILED,
  CUSOLVER_STATUS_INVALID_VALUE,
  CUSOLVER_STATUS_EXECUTION_FAILED,
};
enum cusolverDeterministicMode_t { CUSOLVER_DETERMINISTIC_RESULTS };
struct cusolverDnParams;
using cusolverDnParams_t = cusolverDnParams*;
using cusolverDnHandle_t = void*;

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle);
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream);
cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle, cusolverDeterministicMode_t mode);
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params);
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params);
cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cublasFillMode_t triangle, std::int64_t n, cudaDataType a_type,
                                             const void* a, std::int64_t lda, cudaDataType compute_type,
                                             std::size_t* device_bytes, std::size_t* host_bytes);
cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t params, cublasFillMode_t triangle,
                                  std::int64_t n, cudaDataType a_type, void* a, std::int64_t lda,
                                  cudaDataType compute_type, void* device_workspace, std::size_t device_bytes,
                                  void* host_workspace, std::size_t host_bytes, int* info);

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUSOLVERDN_H_
