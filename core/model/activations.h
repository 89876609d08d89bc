#ifndef GPTVQ_CORE_MODEL_ACTIVATIONS_H_
#define GPTVQ_CORE_MODEL_ACTIVATIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// The hidden states of `sample_count` sequences of `sequence_length` tokens each, between two decoder layers.
// Layout: [sample_count * sequence_length, hidden_size], row = sample * sequence_length + position, never padded, in
// the memory and the activation dtype of its backend. Owns the memory; borrows the backend, which outlives it.
// Move-only. Thread-compatible.
class Activations {
 public:
  Activations() = default;

  // Uninitialised. Errors: ResourceExhausted naming the bytes. Preconditions: length and width > 0; samples >= 0, as a rank
  // of a team may have none.
  struct Shape {
    std::int64_t sample_count = 0;
    std::int64_t sequence_length = 0;
    std::int64_t hidden_size = 0;
  };
  static absl::StatusOr<Activations> Allocate(Backend& backend, const Shape& shape);

  const Shape& shape() const { return shape_; }
  std::int64_t token_count() const { return shape_.sample_count * shape_.sequence_length; }

  TensorView view() { return tensor_.view(); }
  ConstTensorView view() const { return tensor_.view(); }
  // The rows of samples [first, first + count).
  TensorView Samples(std::int64_t first, std::int64_t count) { return view().Rows(RowOf(first), RowOf(count)); }
  ConstTensorView Samples(std::int64_t first, std::int64_t count) const {
    return view().Rows(RowOf(first), RowOf(count));
  }

  // Between host memory in f32 and rows [row_begin, row_begin + rows) of the layout. Synchronous.
  absl::Status CopyRowsFromHost(std::int64_t row_begin, MatrixView<const float> rows);
  absl::Status CopyRowsToHost(std::int64_t row_begin, MatrixView<float> rows_out) const;

 private:
  std::int64_t RowOf(std::int64_t sample) const { return sample * shape_.sequence_length; }

  Backend* backend_ = nullptr;
  Shape shape_;
  DeviceTensor tensor_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_ACTIVATIONS_H_
