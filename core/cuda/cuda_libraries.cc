#include "core/cuda/cuda_libraries.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/cuda/loaded_library.h"

namespace gptvq::cuda {
namespace {

constexpr char kRemedy[] = "use the CPU";

// By cublasGetProperty, or cuSOLVER's.
template <typename GetProperty>
absl::StatusOr<std::string> VersionOf(const LoadedLibrary& library, const char* symbol) {
  GetProperty get_property = nullptr;
  GPTVQ_RETURN_IF_ERROR(library.Find(symbol, get_property));
  int major = 0, minor = 0, patch = 0;
  for (const auto& [property, value] :
       {std::pair{MAJOR_VERSION, &major}, std::pair{MINOR_VERSION, &minor}, std::pair{PATCH_LEVEL, &patch}}) {
    if (const auto result = get_property(property, value); static_cast<int>(result) != 0) {
      return absl::InternalError(absl::StrCat("cuda: ", symbol, ": status ", static_cast<int>(result)));
    }
  }
  return absl::StrCat(major, ".", minor, ".", patch);
}

}  // namespace

absl::StatusOr<CudaLibraries> LoadCudaLibraries() {
  GPTVQ_ASSIGN_OR_RETURN(const LoadedLibrary cublas,
                         LoadedLibrary::Load(absl::StrCat("libcublas.so.", CUBLAS_VER_MAJOR), kRemedy));
  GPTVQ_ASSIGN_OR_RETURN(const LoadedLibrary cusolver,
                         LoadedLibrary::Load(absl::StrCat("libcusolver.so.", CUSOLVER_VER_MAJOR), kRemedy));
  CudaLibraries functions;
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasCreate_v2", functions.cublas_create));
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasDestroy_v2", functions.cublas_destroy));
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasSetStream_v2", functions.cublas_set_stream));
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasSetMathMode", functions.cublas_set_math_mode));
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasSetAtomicsMode", functions.cublas_set_atomics_mode));
  GPTVQ_RETURN_IF_ERROR(cublas.Find("cublasGemmEx_64", functions.cublas_gemm));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnCreate", functions.cusolver_create));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnDestroy", functions.cusolver_destroy));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnSetStream", functions.cusolver_set_stream));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnSetDeterministicMode", functions.cusolver_set_deterministic_mode));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnCreateParams", functions.cusolver_create_params));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnDestroyParams", functions.cusolver_destroy_params));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnXpotrf_bufferSize", functions.cusolver_potrf_buffer_size));
  GPTVQ_RETURN_IF_ERROR(cusolver.Find("cusolverDnXpotrf", functions.cusolver_potrf));
  GPTVQ_ASSIGN_OR_RETURN(functions.cublas_version,
                         VersionOf<decltype(&cublasGetProperty)>(cublas, "cublasGetProperty"));
  GPTVQ_ASSIGN_OR_RETURN(functions.cusolver_version,
                         VersionOf<decltype(&cusolverGetProperty)>(cusolver, "cusolverGetProperty"));
  return functions;
}

}  // namespace gptvq::cuda
