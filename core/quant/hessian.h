#ifndef GPTVQ_CORE_QUANT_HESSIAN_H_
#define GPTVQ_CORE_QUANT_HESSIAN_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// The second moment of the inputs of a linear, H = sum over tokens of x x^T: what quantization error costs. One per unique
// input: q, k and v share theirs, gate and up share theirs. Its overall factor decides nothing, so it is not normalised.
// Move-only; the matrix is backend memory.
struct Hessian {
  DeviceMatrix<float> matrix;     // [C, C], symmetric
  std::int64_t token_count = 0;   // rows that were added, skipped ones included; 0 when H came from elsewhere
  std::int64_t skipped_rows = 0;  // of these, rows with a NaN or an infinity
};

// Sums a Hessian over batches of inputs. Borrows the backend. Thread-compatible. Deterministic: the result depends on the
// batches and their order alone.
class HessianAccumulator {
 public:
  // Errors: ResourceExhausted.
  static absl::StatusOr<HessianAccumulator> Make(Backend& backend, std::int64_t cols);

  // Adds the rows of x [tokens, C]. Errors: InvalidArgument when x has another width; Internal for a device error.
  absl::Status Add(ConstTensorView x);

  std::int64_t token_count() const { return hessian_.token_count; }
  std::int64_t skipped_rows() const { return hessian_.skipped_rows; }

  // Errors: FailedPrecondition when no row was added, or when more than 0.1 % of the rows were not finite: such a layer
  // overflows, and a Hessian of what is left would hide it.
  absl::StatusOr<Hessian> Finish() &&;

 private:
  explicit HessianAccumulator(Backend& backend) : backend_(&backend) {}

  Backend* backend_;
  Hessian hessian_;
};

// A Hessian that was computed elsewhere, from host memory; the mean of the two triangles is used.
// Errors: InvalidArgument when it is not square, or naming the row and column of an element that is not finite, of a
// negative diagonal element, or of a pair that differs by more than 1e-3 of the larger diagonal element.
absl::StatusOr<Hessian> HessianFromHost(Backend& backend, MatrixView<const float> values);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_HESSIAN_H_
