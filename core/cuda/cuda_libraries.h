#ifndef GPTVQ_CORE_CUDA_CUDA_LIBRARIES_H_
#define GPTVQ_CORE_CUDA_CUDA_LIBRARIES_H_

#include <cublas_v2.h>
#include <cusolverDn.h>

#include <string>

#include "absl/status/statusor.h"

namespace gptvq::cuda {

// The functions of cuBLAS and cuSOLVER that are used. The libraries are loaded when a device is first made, not linked:
// a program that computes on the CPU then starts without them, faster by a tenth of a second, and without the thread-local
// memory that they take from the stack of every thread, more than the small ones of a metrics server have.
struct CudaLibraries {
  decltype(&cublasCreate) cublas_create;
  decltype(&cublasDestroy) cublas_destroy;
  decltype(&cublasSetStream) cublas_set_stream;
  decltype(&cublasSetMathMode) cublas_set_math_mode;
  decltype(&cublasSetAtomicsMode) cublas_set_atomics_mode;
  decltype(&cublasGemmEx_64) cublas_gemm;
  decltype(&cusolverDnCreate) cusolver_create;
  decltype(&cusolverDnDestroy) cusolver_destroy;
  decltype(&cusolverDnSetStream) cusolver_set_stream;
  decltype(&cusolverDnSetDeterministicMode) cusolver_set_deterministic_mode;
  decltype(&cusolverDnCreateParams) cusolver_create_params;
  decltype(&cusolverDnDestroyParams) cusolver_destroy_params;
  decltype(&cusolverDnXpotrf_bufferSize) cusolver_potrf_buffer_size;
  decltype(&cusolverDnXpotrf) cusolver_potrf;
  // "13.0.2": of what was loaded, which need not be what was compiled with, and decides the bytes of results.
  std::string cublas_version;
  std::string cusolver_version;
};

// Loads them; they stay as long as the process. Errors: FailedPrecondition naming the library or function that is missing.
absl::StatusOr<CudaLibraries> LoadCudaLibraries();

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_LIBRARIES_H_
