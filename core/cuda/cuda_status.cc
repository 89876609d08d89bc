#include "core/cuda/cuda_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/backend/device_lost.h"

namespace gptvq::cuda {
namespace {

absl::string_view Text(std::string_view text) { return absl::string_view(text.data(), text.size()); }

constexpr int kCudaMajor = CUDART_VERSION / 1000;
constexpr int kCudaMinor = CUDART_VERSION % 1000 / 10;

// What a user can act on, or empty: the driver is the machine's, not ours.
std::string DriverRemedy(cudaError_t error) {
  switch (error) {
    case cudaErrorNoDevice:
      return "no CUDA device is visible; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the CPU";
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorUnsupportedPtxVersion:
      return absl::StrCat("the NVIDIA driver is missing or older than CUDA ", kCudaMajor, ".", kCudaMinor,
                          ", which this build needs; install a newer one, or use the CPU");
    case cudaErrorStubLibrary:
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
      return "the NVIDIA driver does not start on this machine; check nvidia-smi, or use the CPU";
    case cudaErrorNoKernelImageForDevice:
      return absl::StrCat(
          "this build has code for compute capability ", GPTVQ_CUDA_ARCHITECTURES,
          " and later, not for the device; build with -DCMAKE_CUDA_ARCHITECTURES=native there, or use the CPU");
    default: return "";
  }
}

// Errors that stay with the context: every later call fails too, and memory may hold anything.
bool LosesDevice(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorExternalDevice:
    case cudaErrorMpsClientTerminated:
    case cudaErrorDevicesUnavailable:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

}  // namespace

absl::Status CudaStatus(cudaError_t error, std::string_view operation) {
  if (error == cudaSuccess) [[likely]]
    return absl::OkStatus();
  (void)cudaGetLastError();  // which would otherwise be taken for that of this thread's next launch
  const std::string message =
      absl::StrCat("cuda: ", Text(operation), ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  if (error == cudaErrorMemoryAllocation) {
    return absl::ResourceExhaustedError(
        absl::StrCat(message, "; use fewer calibration samples, a device with more free memory, or the CPU"));
  }
  if (const std::string remedy = DriverRemedy(error); !remedy.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("cuda: ", remedy, " [", cudaGetErrorName(error), "]"));
  }
  return LosesDevice(error) ? DeviceLostError(message) : absl::InternalError(message);
}

absl::Status CublasStatus(cublasStatus_t error, std::string_view operation) {
  if (error == CUBLAS_STATUS_SUCCESS) [[likely]]
    return absl::OkStatus();
  const std::string message = absl::StrCat("cuda: ", Text(operation), ": cuBLAS status ", static_cast<int>(error));
  if (error == CUBLAS_STATUS_ALLOC_FAILED) return absl::ResourceExhaustedError(message);
  return error == CUBLAS_STATUS_EXECUTION_FAILED ? DeviceLostError(message) : absl::InternalError(message);
}

absl::Status CusolverStatus(cusolverStatus_t error, std::string_view operation) {
  if (error == CUSOLVER_STATUS_SUCCESS) [[likely]]
    return absl::OkStatus();
  const std::string message = absl::StrCat("cuda: ", Text(operation), ": cuSOLVER status ", static_cast<int>(error));
  if (error == CUSOLVER_STATUS_ALLOC_FAILED) return absl::ResourceExhaustedError(message);
  return error == CUSOLVER_STATUS_EXECUTION_FAILED ? DeviceLostError(message) : absl::InternalError(message);
}

absl::Status LaunchStatus(std::string_view kernel) { return CudaStatus(cudaGetLastError(), kernel); }

}  // namespace gptvq::cuda
