#ifndef GPTVQ_CORE_BACKEND_TENSOR_VIEW_H_
#define GPTVQ_CORE_BACKEND_TENSOR_VIEW_H_

#include <cstdint>

#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// A borrowed row-major matrix in backend memory whose element type is known at run time: the activations and weights of
// the forward pass, kF32 on the CPU backend and kBf16 on CUDA. `Data` is void or const void. Stride in elements.
template <typename Data>
struct BasicTensorView {
  Data* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  BasicTensorView() = default;
  BasicTensorView(Data* data, DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t stride)
      : data(data), dtype(dtype), rows(rows), cols(cols), stride(stride) {
    GPTVQ_CHECK(rows >= 0 && cols >= 0 && stride >= cols);
  }
  template <typename Other>
  BasicTensorView(const BasicTensorView<Other>& other)  // NOLINT(google-explicit-constructor): mutable to const
      : BasicTensorView(other.data, other.dtype, other.rows, other.cols, other.stride) {}

  // The same memory with its type spelled out. Precondition: the dtype is that of T.
  template <typename T>
  MatrixView<T> As() const;

  BasicTensorView Block(std::int64_t row, std::int64_t col, std::int64_t row_count, std::int64_t col_count) const {
    GPTVQ_CHECK(row >= 0 && col >= 0 && row + row_count <= rows && col + col_count <= cols);
    using Byte = std::conditional_t<std::is_const_v<Data>, const char, char>;
    Byte* begin = static_cast<Byte*>(data) + (row * stride + col) * static_cast<std::int64_t>(DTypeBytes(dtype));
    return BasicTensorView(begin, dtype, row_count, col_count, stride);
  }
  BasicTensorView Rows(std::int64_t row, std::int64_t count) const { return Block(row, 0, count, cols); }
  BasicTensorView Cols(std::int64_t col, std::int64_t count) const { return Block(0, col, rows, count); }
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

template <typename Data>
template <typename T>
MatrixView<T> BasicTensorView<Data>::As() const {
  static_assert(std::is_same_v<std::remove_const_t<T>, float>, "extend when a further type is computed with");
  GPTVQ_CHECK(dtype == DType::kF32);
  return MatrixView<T>(static_cast<T*>(data), rows, cols, stride);
}

// An f32 matrix where a tensor is wanted.
inline TensorView AsTensor(MatrixView<float> matrix) {
  return TensorView(matrix.data, DType::kF32, matrix.rows, matrix.cols, matrix.stride);
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_TENSOR_VIEW_H_
