#ifndef GPTVQ_CORE_BASE_MATRIX_VIEW_H_
#define GPTVQ_CORE_BASE_MATRIX_VIEW_H_

#include <cstdint>
#include <type_traits>

#include "core/base/check.h"

namespace gptvq {

// A borrowed row-major matrix: `rows` rows of `cols` elements, consecutive rows `stride` elements apart (stride >= cols).
// Copyable, thread-compatible; the memory outlives the view. In signatures of core/backend the memory is the backend's
// own (host memory on the CPU, device memory on CUDA) and only that backend may dereference it.
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  MatrixView() = default;
  MatrixView(T* data, std::int64_t rows, std::int64_t cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride)
      : data(data), rows(rows), cols(cols), stride(stride) {
    GPTVQ_CHECK(rows >= 0 && cols >= 0 && stride >= cols);
  }

  // A view of T converts to a view of const T.
  template <typename U>
  requires std::is_same_v<T, const U> MatrixView(const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : MatrixView(other.data, other.rows, other.cols, other.stride) {}

  T* row(std::int64_t r) const { return data + r * stride; }
  T& at(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }

  // The sub-matrix of `row_count` x `col_count` elements from (row, col) on.
  MatrixView Block(std::int64_t row, std::int64_t col, std::int64_t row_count, std::int64_t col_count) const {
    GPTVQ_CHECK(row >= 0 && col >= 0 && row + row_count <= rows && col + col_count <= cols);
    return MatrixView(data + row * stride + col, row_count, col_count, stride);
  }
  MatrixView Rows(std::int64_t row, std::int64_t count) const { return Block(row, 0, count, cols); }
  MatrixView Cols(std::int64_t col, std::int64_t count) const { return Block(0, col, rows, count); }
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_MATRIX_VIEW_H_
