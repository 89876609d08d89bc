#ifndef GPTVQ_TESTS_CONFORMANCE_GUARDED_MATRIX_H_
#define GPTVQ_TESTS_CONFORMANCE_GUARDED_MATRIX_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend/backend.h"

namespace gptvq {

// A matrix in backend memory that lies inside a larger one: a margin of rows above and below and of columns to both sides. All bytes
// are poisoned with 0xff first: a NaN in every floating-point type, 255 in bytes. Reading back checks the margin.
class GuardedBytes {
 public:
  // kAligned: every row begins at a multiple of 16 bytes, if a row is a whole number of those.
  enum class Rows { kUnaligned, kAligned };

  GuardedBytes(Backend& backend, std::int64_t rows, std::int64_t cols, std::size_t element_bytes,
               Rows alignment = Rows::kUnaligned);

  void* interior() const;
  std::int64_t stride() const { return cols_ + 2 * margin_cols_; }
  void Write(const void* values);
  // Fails the test when a byte of the margin changed.
  void Read(void* values_out) const;

  static constexpr std::int64_t kMarginRows = 1;

 private:
  std::size_t Offset(std::int64_t row, std::int64_t col) const;  // of an element of the interior, in bytes

  Backend& backend_;
  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t margin_cols_;
  std::size_t element_bytes_;
  std::unique_ptr<DeviceMemory> memory_;
  std::size_t total_bytes_;
};

template <typename T>
class GuardedMatrix {
 public:
  // Poisoned.
  GuardedMatrix(Backend& backend, std::int64_t rows, std::int64_t cols)
      : bytes_(backend, rows, cols, sizeof(T)), rows_(rows), cols_(cols) {}
  GuardedMatrix(Backend& backend, std::int64_t rows, std::int64_t cols, const std::vector<T>& values)
      : GuardedMatrix(backend, rows, cols) {
    GPTVQ_CHECK(static_cast<std::int64_t>(values.size()) == rows * cols);
    bytes_.Write(values.data());
  }

  MatrixView<T> view() const {
    return MatrixView<T>(static_cast<T*>(bytes_.interior()), rows_, cols_, bytes_.stride());
  }
  std::vector<T> Read() const {
    std::vector<T> values(static_cast<std::size_t>(rows_ * cols_));
    bytes_.Read(values.data());
    return values;
  }

 private:
  GuardedBytes bytes_;
  std::int64_t rows_;
  std::int64_t cols_;
};

// A tensor of the backend's activation dtype, filled from and read as f32.
class GuardedTensor {
 public:
  using Rows = GuardedBytes::Rows;

  GuardedTensor(Backend& backend, std::int64_t rows, std::int64_t cols, Rows alignment = Rows::kUnaligned)
      : backend_(backend),
        bytes_(backend, rows, cols, DTypeBytes(backend.activation_dtype()), alignment),
        view_(bytes_.interior(), backend.activation_dtype(), rows, cols, bytes_.stride()) {}
  GuardedTensor(Backend& backend, std::int64_t rows, std::int64_t cols, const std::vector<float>& values,
                Rows alignment = Rows::kUnaligned);

  TensorView view() const { return view_; }
  std::vector<float> Read() const;

 private:
  Backend& backend_;
  GuardedBytes bytes_;
  TensorView view_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CONFORMANCE_GUARDED_MATRIX_H_
