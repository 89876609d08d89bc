#include "core/cuda/cuda_libraries.h"

#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq::cuda {
namespace {

class Library {
 public:
  static absl::StatusOr<Library> Load(const std::string& name) {
    Library library;
    library.name_ = name;
    library.handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: it does not survive that
    if (library.handle_ != nullptr) return library;
    return absl::FailedPreconditionError(absl::StrCat("cuda: ", name, " does not load (", dlerror(),
                                                      "); install CUDA's libraries, or name their folder in ",
                                                      "LD_LIBRARY_PATH, or use the CPU"));
  }

  template <typename Function>
  absl::Status Find(const char* symbol, Function& function_out) const {
    function_out = reinterpret_cast<Function>(dlsym(handle_, symbol));
    if (function_out != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("cuda: ", name_, " has no ", symbol, "; install the version of this build, or use the CPU"));
  }

 private:
  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace

absl::StatusOr<CudaLibraries> LoadCudaLibraries() {
  GPTVQ_ASSIGN_OR_RETURN(const Library cublas, Library::Load(absl::StrCat("libcublas.so.", CUBLAS_VER_MAJOR)));
  GPTVQ_ASSIGN_OR_RETURN(const Library cusolver, Library::Load(absl::StrCat("libcusolver.so.", CUSOLVER_VER_MAJOR)));
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
  return functions;
}

}  // namespace gptvq::cuda
