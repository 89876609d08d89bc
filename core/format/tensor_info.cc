#include "core/format/tensor_info.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace gptvq {

std::string Describe(const TensorInfo& tensor) {
  return absl::StrCat(std::string(DTypeName(tensor.dtype)), " [", absl::StrJoin(tensor.shape, ", "), "]");
}

}  // namespace gptvq
