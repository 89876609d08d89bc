#ifndef GPTVQ_CORE_QUANT_HESSIAN_H_
#define GPTVQ_CORE_QUANT_HESSIAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/backend.h"
#include "core/backend/communicator.h"
#include "core/backend/device_matrix.h"
#include "core/base/index_range.h"
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
//
// In a team every rank makes one, and the batches lie with the ranks in turn: rank 0 has the first of a round, rank 1 the
// next, and so on. Every rank gets all batches and adds them, in order, to the panels that are its own
// (core/backend/hessian_panels.h); Finish() brings the panels together. So the result is that of one device.
class HessianAccumulator {
 public:
  // Errors: ResourceExhausted.
  static absl::StatusOr<HessianAccumulator> Make(Backend& backend, std::int64_t cols,
                                                 const Communicator& ranks = Communicator());

  // Adds the rows of x [tokens, C], which every rank has. Errors: InvalidArgument when x has another width; Internal for a
  // device error.
  absl::Status Add(ConstTensorView x);

  // One round: `own` is this rank's batch, `row_counts` tells how many rows that of every rank has; 0: none. Collective.
  // Errors: those of Add and of Communicator. Preconditions: own.rows is this rank's count; rows of `own` are contiguous.
  absl::Status AddRound(ConstTensorView own, absl::Span<const std::int64_t> row_counts);

  std::int64_t token_count() const { return hessian_.token_count; }
  std::int64_t skipped_rows() const { return hessian_.skipped_rows; }

  // Collective. Errors: FailedPrecondition when no row was added, or when more than 0.1 % of the rows were not finite: such
  // a layer overflows, and a Hessian of what is left would hide it; those of Communicator.
  absl::StatusOr<Hessian> Finish() &&;

 private:
  HessianAccumulator(Backend& backend, const Communicator& ranks) : backend_(&backend), ranks_(ranks) {}

  absl::Status ExchangePanels();

  Backend* backend_;
  Communicator ranks_;
  Hessian hessian_;
  std::vector<IndexRange> own_panels_;  // of several ranks
  DeviceTensor received_;               // the batch of another rank
};

// A Hessian that was computed elsewhere, from host memory; the mean of the two triangles is used.
// Errors: InvalidArgument when it is not square, or naming the row and column of an element that is not finite, of a
// negative diagonal element, or of a pair that differs by more than 1e-3 of the larger diagonal element.
absl::StatusOr<Hessian> HessianFromHost(Backend& backend, MatrixView<const float> values);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_HESSIAN_H_
