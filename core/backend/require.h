#ifndef GPTVQ_CORE_BACKEND_REQUIRE_H_
#define GPTVQ_CORE_BACKEND_REQUIRE_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// InvalidArgument "<operation>: <condition>" unless `holds`. The condition is spelled as it should be: "x and y have the
// same shape".
inline absl::Status Require(bool holds, std::string_view operation, std::string_view condition) {
  if (holds) [[likely]]
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(absl::string_view(operation.data(), operation.size()),
                                                 ": not so: ", absl::string_view(condition.data(), condition.size())));
}

// For MatrixView and TensorView alike.
template <typename A, typename B>
bool SameShape(const A& a, const B& b) {
  return a.rows == b.rows && a.cols == b.cols;
}
template <typename A>
bool HasShape(const A& a, std::int64_t rows, std::int64_t cols) {
  return a.rows == rows && a.cols == cols;
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_REQUIRE_H_
