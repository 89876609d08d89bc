#ifndef GPTVQ_CORE_CUDA_VECTOR_DIM_H_
#define GPTVQ_CORE_CUDA_VECTOR_DIM_H_

#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gptvq::cuda {

// The table of kernel instances: calls launch(std::integral_constant<int, D>) for the vector dimension D.
// Errors: InvalidArgument unless it is 1, 2 or 4.
template <typename Launch>
absl::Status ForVectorDim(std::string_view operation, int vector_dim, Launch launch) {
  if (vector_dim == 1) return launch(std::integral_constant<int, 1>());
  if (vector_dim == 2) return launch(std::integral_constant<int, 2>());
  if (vector_dim == 4) return launch(std::integral_constant<int, 4>());
  return absl::InvalidArgumentError(absl::StrCat(absl::string_view(operation.data(), operation.size()),
                                                 ": the vector dimension is 1, 2 or 4, not ", vector_dim));
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_VECTOR_DIM_H_
