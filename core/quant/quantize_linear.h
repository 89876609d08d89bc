#ifndef GPTVQ_CORE_QUANT_QUANTIZE_LINEAR_H_
#define GPTVQ_CORE_QUANT_QUANTIZE_LINEAR_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/backend/team.h"
#include "core/base/matrix_view.h"
#include "core/base/monotonic_clock.h"
#include "core/quant/prepared_hessian.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

struct LinearResult {
  QuantizedLinear linear;
  LinearReport report;

  // [R, C], by the host: Dequantize(linear).
  std::vector<float> Dequantized() const;
};

// The weights of one linear, R x C, wherever they lie: gives rows from `first_row` on to the memory of a rank's backend, in f32.
// Ranks may ask at once. Borrows.
struct LinearWeights {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  absl::FunctionRef<absl::Status(int rank, std::int64_t first_row, MatrixView<float> rows_out)> copy_rows;
};

// Quantizes one linear: the whole recipe, by spec.method and spec.compatibility (docs/numerics.md has the formulas).
//
// `weights` is R x C in host memory. `hessian` was made with the same spec for the linear's input. `name` is the tensor's
// name without ".weight"; together with `seed` it keys all random numbers. `clock` may be null: the report's seconds are
// then 0. report.seconds.factor stays 0 in any case: the factorisation belongs to the Hessian, whose linears share it.
//
// Deterministic: the bytes of the result depend on the arguments and the backend's numerics class alone, not on threads.
// Errors, all with "name: " in front: InvalidArgument for a weight that is not finite (naming row and column), for
// shapes or a spec that do not fit the Hessian; FailedPrecondition when the loss overflows f32; ResourceExhausted and
// Internal from the backend.
absl::StatusOr<LinearResult> QuantizeLinear(Backend& backend, std::string_view name, MatrixView<const float> weights,
                                            const PreparedHessian& hessian, const QuantSpec& spec, std::uint64_t seed,
                                            const MonotonicClock* clock);

// The same by the devices of a team, each for a share of the rows (core/quant/row_share.h): the bytes are those of one of them.
// `hessians` holds the same one in the memory of every rank. Vector quantization is shared out, but for SVD codebooks and
// Compatibility::kReference; anything else is done by rank 0 alone. Seconds are those of rank 0.
// `assignments_out` becomes those of vectors, in the memory of rank 0, if the team is rank 0 alone; else empty.
absl::StatusOr<LinearResult> QuantizeLinear(const Team& team, std::string_view name, const LinearWeights& weights,
                                            absl::Span<const PreparedHessian> hessians, const QuantSpec& spec,
                                            std::uint64_t seed, const MonotonicClock* clock,
                                            DeviceMatrix<std::uint8_t>& assignments_out);
absl::StatusOr<LinearResult> QuantizeLinear(const Team& team, std::string_view name, MatrixView<const float> weights,
                                            absl::Span<const PreparedHessian> hessians, const QuantSpec& spec,
                                            std::uint64_t seed, const MonotonicClock* clock);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_QUANTIZE_LINEAR_H_
