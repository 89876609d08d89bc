#ifndef GPTVQ_CORE_CUDA_LOADED_LIBRARY_H_
#define GPTVQ_CORE_CUDA_LOADED_LIBRARY_H_

#include <dlfcn.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace gptvq::cuda {

// A shared library of CUDA's that is loaded when it is needed, and stays as long as the process.
class LoadedLibrary {
 public:
  // `remedy` ends the message: what to do without the library. Errors: FailedPrecondition naming it.
  static absl::StatusOr<LoadedLibrary> Load(const std::string& name, std::string remedy) {
    LoadedLibrary library;
    library.name_ = name;
    library.remedy_ = std::move(remedy);
    library.handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: it does not survive that
    if (library.handle_ != nullptr) return library;
    return absl::FailedPreconditionError(absl::StrCat("cuda: ", name, " does not load (", dlerror(),
                                                      "); install it, or name its folder in LD_LIBRARY_PATH, or ",
                                                      library.remedy_));
  }

  // Errors: FailedPrecondition naming library and function.
  template <typename Function>
  absl::Status Find(const char* symbol, Function& function_out) const {
    function_out = reinterpret_cast<Function>(dlsym(handle_, symbol));
    if (function_out != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("cuda: ", name_, " has no ", symbol, "; install the version of this build, or ", remedy_));
  }

 private:
  std::string name_;
  std::string remedy_;
  void* handle_ = nullptr;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_LOADED_LIBRARY_H_
