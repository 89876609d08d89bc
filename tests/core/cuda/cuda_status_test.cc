#include "core/cuda/cuda_status.h"

#include <string>

#include "core/backend/device_lost.h"
#include "gtest/gtest.h"

namespace gptvq::cuda {
namespace {

TEST(CudaStatus, SuccessIsOk) {
  EXPECT_TRUE(CudaStatus(cudaSuccess, "copy").ok());
  EXPECT_TRUE(CublasStatus(CUBLAS_STATUS_SUCCESS, "product").ok());
  EXPECT_TRUE(CusolverStatus(CUSOLVER_STATUS_SUCCESS, "factor").ok());
}

TEST(CudaStatus, OutOfMemoryIsResourceExhaustedAndNamesTheOperation) {
  const absl::Status status = CudaStatus(cudaErrorMemoryAllocation, "no memory for 17 bytes");

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("17 bytes"), absl::string_view::npos);
  EXPECT_EQ(CublasStatus(CUBLAS_STATUS_ALLOC_FAILED, "cublasCreate").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CusolverStatus(CUSOLVER_STATUS_ALLOC_FAILED, "create").code(), absl::StatusCode::kResourceExhausted);
}

TEST(CudaStatus, StickyErrorsLoseTheDevice) {
  for (cudaError_t error :
       {cudaErrorIllegalAddress, cudaErrorLaunchFailure, cudaErrorMisalignedAddress, cudaErrorECCUncorrectable,
        cudaErrorLaunchTimeout, cudaErrorExternalDevice, cudaErrorMpsClientTerminated, cudaErrorUnknown}) {
    const absl::Status status = CudaStatus(error, "SweepColumnsKernel");

    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_TRUE(IsDeviceLost(status)) << status;
    EXPECT_NE(status.message().find("SweepColumnsKernel"), absl::string_view::npos) << status;
  }
  EXPECT_TRUE(IsDeviceLost(CublasStatus(CUBLAS_STATUS_EXECUTION_FAILED, "cublasGemmEx")));
  EXPECT_TRUE(IsDeviceLost(CusolverStatus(CUSOLVER_STATUS_EXECUTION_FAILED, "cusolverDnXpotrf")));
}

TEST(CudaStatus, AMissingOrOldDriverIsOneLineThatSaysWhatToDo) {
  for (cudaError_t error : {cudaErrorNoDevice, cudaErrorInsufficientDriver, cudaErrorSystemDriverMismatch,
                            cudaErrorStubLibrary, cudaErrorNoKernelImageForDevice}) {
    const absl::Status status = CudaStatus(error, "cudaGetDeviceCount");

    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_FALSE(IsDeviceLost(status));
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
  EXPECT_NE(CudaStatus(cudaErrorInsufficientDriver, "").message().find("driver"), absl::string_view::npos);
}

TEST(CudaStatus, OtherErrorsAreInternalAndLeaveTheDevice) {
  const absl::Status status = CudaStatus(cudaErrorInvalidValue, "cudaMemcpyAsync");

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_FALSE(IsDeviceLost(status));
}

}  // namespace
}  // namespace gptvq::cuda
