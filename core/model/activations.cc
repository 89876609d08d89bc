#include "core/model/activations.h"

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {

absl::StatusOr<Activations> Activations::Allocate(Backend& backend, const Shape& shape) {
  GPTVQ_CHECK(shape.sample_count >= 0 && shape.sequence_length > 0 && shape.hidden_size > 0);
  Activations activations;
  activations.backend_ = &backend;
  activations.shape_ = shape;
  GPTVQ_ASSIGN_OR_RETURN(activations.tensor_,
                         DeviceTensor::Allocate(backend, activations.token_count(), shape.hidden_size));
  return activations;
}

absl::Status Activations::CopyRowsFromHost(std::int64_t row_begin, MatrixView<const float> rows) {
  GPTVQ_CHECK(rows.cols == shape_.hidden_size);
  return backend_->CopyFromHost(rows, view().Rows(row_begin, rows.rows));
}

absl::Status Activations::CopyRowsToHost(std::int64_t row_begin, MatrixView<float> rows_out) const {
  GPTVQ_CHECK(rows_out.cols == shape_.hidden_size);
  return backend_->CopyToHost(view().Rows(row_begin, rows_out.rows), rows_out);
}

}  // namespace gptvq
