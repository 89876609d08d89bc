#ifndef GPTVQ_CORE_DECODE_PACKED_MATRIX_H_
#define GPTVQ_CORE_DECODE_PACKED_MATRIX_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/matrix_view.h"
#include "core/base/worker_pool.h"
#include "core/format/packed_layout.h"
#include "core/format/packed_tensors.h"

namespace gptvq {

class RowReader;

// A packed linear as a matrix that multiplies: weights stay packed in memory and are decoded row by row on the way into
// registers, so a product with one vector reads 2 to 4 bits per weight and not 16. CPU; f32 inputs and outputs.
//
// Owns a copy of the packed bytes. Immutable; any number of threads, one WorkerPool each. Accumulation in f32. Bitwise
// equal for any thread count and from run to run on one kind of processor; another vector width may round differently.
// Error of a product: that of a sum of C terms in f32 against the weights of Dequantize.
class PackedMatrix {
 public:
  // `tensors` as ReadPackedTensors gives them. Contents are checked as by UnpackLinear, whose memory is needed meanwhile.
  // Errors: those of UnpackLinear.
  static absl::StatusOr<PackedMatrix> Make(const PackedModule& module, absl::Span<const PackedTensor> tensors);
  PackedMatrix(PackedMatrix&&) noexcept;
  ~PackedMatrix();

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  // Bytes of weights that one product reads.
  std::int64_t packed_bytes() const { return packed_bytes_; }

  // y = W x. Preconditions: x.size() == cols(), y_out.size() == rows().
  void MultiplyVector(absl::Span<const float> x, absl::Span<float> y_out, WorkerPool& pool) const;

  // y(t, r) = sum over c of W(r, c) x(t, c): what a linear does to T tokens. A few tokens go through MultiplyVector; for
  // more, tiles of weights are decoded once and used for all tokens. Memory: one tile per thread.
  // Preconditions: x is [T, cols()], y_out [T, rows()].
  void Multiply(MatrixView<const float> x, MatrixView<float> y_out, WorkerPool& pool) const;

  // Rows [row_begin, row_begin + rows_out.rows) as floats: those of Dequantize within one rounding.
  // Preconditions: rows_out is as wide as cols() and inside.
  void DecodeRows(std::int64_t row_begin, MatrixView<float> rows_out) const;

 private:
  PackedMatrix(std::int64_t rows, std::int64_t cols, std::int64_t packed_bytes,
               std::unique_ptr<const RowReader> reader);

  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t packed_bytes_;
  std::unique_ptr<const RowReader> reader_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_DECODE_PACKED_MATRIX_H_
