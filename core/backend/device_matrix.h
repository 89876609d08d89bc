#ifndef GPTVQ_CORE_BACKEND_DEVICE_MATRIX_H_
#define GPTVQ_CORE_BACKEND_DEVICE_MATRIX_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/status_macros.h"

namespace gptvq {

// An owning dense matrix in backend memory. Move-only. Must not outlive its backend.
template <typename T>
class DeviceMatrix {
 public:
  DeviceMatrix() = default;

  // Uninitialised.
  static absl::StatusOr<DeviceMatrix> Allocate(Backend& backend, std::int64_t rows, std::int64_t cols) {
    DeviceMatrix matrix;
    GPTVQ_ASSIGN_OR_RETURN(matrix.memory_, backend.Allocate(static_cast<std::size_t>(rows * cols) * sizeof(T)));
    matrix.view_ = MatrixView<T>(static_cast<T*>(matrix.memory_->address()), rows, cols);
    return matrix;
  }

  static absl::StatusOr<DeviceMatrix> Zeros(Backend& backend, std::int64_t rows, std::int64_t cols) {
    GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix matrix, Allocate(backend, rows, cols));
    GPTVQ_RETURN_IF_ERROR(backend.FillZero(matrix.view_.data, matrix.bytes()));
    return matrix;
  }

  // `values` has rows * cols elements, row-major.
  static absl::StatusOr<DeviceMatrix> FromHost(Backend& backend, const T* values, std::int64_t rows,
                                               std::int64_t cols) {
    GPTVQ_ASSIGN_OR_RETURN(DeviceMatrix matrix, Allocate(backend, rows, cols));
    GPTVQ_RETURN_IF_ERROR(backend.CopyBytesFromHost(values, matrix.view_.data, matrix.bytes()));
    return matrix;
  }

  absl::StatusOr<std::vector<T>> ToHost(Backend& backend) const {
    std::vector<T> values(static_cast<std::size_t>(view_.rows * view_.cols));
    GPTVQ_RETURN_IF_ERROR(backend.CopyBytesToHost(view_.data, values.data(), bytes()));
    return values;
  }

  MatrixView<T> view() { return view_; }
  MatrixView<const T> view() const { return view_; }
  std::int64_t rows() const { return view_.rows; }
  std::int64_t cols() const { return view_.cols; }
  std::size_t bytes() const { return static_cast<std::size_t>(view_.rows * view_.cols) * sizeof(T); }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  MatrixView<T> view_;
};

// The same for activations and weights of the forward pass, whose dtype is the backend's unless told.
class DeviceTensor {
 public:
  DeviceTensor() = default;

  static absl::StatusOr<DeviceTensor> Allocate(Backend& backend, std::int64_t rows, std::int64_t cols) {
    DeviceTensor tensor;
    const DType dtype = backend.activation_dtype();
    GPTVQ_ASSIGN_OR_RETURN(tensor.memory_, backend.Allocate(static_cast<std::size_t>(rows * cols) * DTypeBytes(dtype)));
    tensor.view_ = TensorView(tensor.memory_->address(), dtype, rows, cols, cols);
    return tensor;
  }

  // Takes memory that holds a matrix of any dtype already.
  DeviceTensor(std::unique_ptr<DeviceMemory> memory, DType dtype, std::int64_t rows, std::int64_t cols)
      : memory_(std::move(memory)), view_(memory_->address(), dtype, rows, cols, cols) {}

  static absl::StatusOr<DeviceTensor> FromHost(Backend& backend, MatrixView<const float> values) {
    GPTVQ_ASSIGN_OR_RETURN(DeviceTensor tensor, Allocate(backend, values.rows, values.cols));
    GPTVQ_RETURN_IF_ERROR(backend.CopyFromHost(values, tensor.view_));
    return tensor;
  }

  TensorView view() { return view_; }
  ConstTensorView view() const { return view_; }
  std::int64_t rows() const { return view_.rows; }
  std::int64_t cols() const { return view_.cols; }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  TensorView view_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_DEVICE_MATRIX_H_
