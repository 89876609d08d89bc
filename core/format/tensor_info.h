#ifndef GPTVQ_CORE_FORMAT_TENSOR_INFO_H_
#define GPTVQ_CORE_FORMAT_TENSOR_INFO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/dtype.h"

namespace gptvq {

// What a safetensors header says of a tensor, apart from where it is. Plain value.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;

  // 1 for rank 0.
  std::int64_t element_count() const {
    std::int64_t count = 1;
    for (std::int64_t side : shape) count *= side;
    return count;
  }
  std::uint64_t byte_count() const { return static_cast<std::uint64_t>(element_count()) * DTypeBytes(dtype); }

  friend bool operator==(const TensorInfo&, const TensorInfo&) = default;
};

// "BF16 [576, 1536]": how messages show a tensor.
std::string Describe(const TensorInfo& tensor);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_TENSOR_INFO_H_
