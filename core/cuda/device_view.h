#ifndef GPTVQ_CORE_CUDA_DEVICE_VIEW_H_
#define GPTVQ_CORE_CUDA_DEVICE_VIEW_H_

#include <cstdint>

#include "core/backend/host_device.h"
#include "core/backend/tensor_view.h"
#include "core/base/matrix_view.h"

namespace gptvq::cuda {

// MatrixView as a kernel parameter: a borrowed row-major matrix in device memory, never dereferenced on the host.
template <typename T>
struct DeviceView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  GPTVQ_HD T* row(std::int64_t r) const { return data + r * stride; }
  GPTVQ_HD T& at(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }
};

template <typename T>
DeviceView<T> OnDevice(MatrixView<T> view) {
  return {view.data, view.rows, view.cols, view.stride};
}
template <typename T>
DeviceView<const T> ReadOnly(MatrixView<T> view) {
  return {view.data, view.rows, view.cols, view.stride};
}

// bfloat16 as its bits: the activations and weights of the forward pass.
using Bf16View = DeviceView<std::uint16_t>;
using ConstBf16View = DeviceView<const std::uint16_t>;

// IEEE half as its bits: weights as some checkpoints store them.
using ConstHalfView = DeviceView<const std::uint16_t>;

inline Bf16View Bf16OnDevice(TensorView tensor) {
  return {static_cast<std::uint16_t*>(tensor.data), tensor.rows, tensor.cols, tensor.stride};
}
inline ConstBf16View Bf16OnDevice(ConstTensorView tensor) {
  return {static_cast<const std::uint16_t*>(tensor.data), tensor.rows, tensor.cols, tensor.stride};
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_DEVICE_VIEW_H_
