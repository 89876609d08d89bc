#ifndef GPTVQ_CORE_QUANT_RESIDUAL_H_
#define GPTVQ_CORE_QUANT_RESIDUAL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/vector_state.h"

namespace gptvq {

// How far Q is from W, in the metric of H'. Owns backend memory; move-only.
struct Residual {
  DeviceMatrix<float> error;       // E = W - Q, [R, C]
  DeviceMatrix<float> gradient;    // (Q - W) H', [R, C]: half the derivative of the loss by Q
  std::vector<double> row_losses;  // [R]: e_r H' e_r^T

  static absl::StatusOr<Residual> Allocate(Backend& backend, std::int64_t rows, std::int64_t cols);

  // tr(E H' E^T), rows added in order: of those that are here (RowShare::SumOverRows: of the linear).
  double Loss() const;

  // The three members from `state`, by one product. Errors: FailedPrecondition when the loss is not finite.
  absl::Status Recompute(Backend& backend, const PreparedHessian& hessian, const VectorState& state);

  // `gradient` and `row_losses` from `error`, by one product. Errors: as Recompute.
  absl::Status RecomputeGradient(Backend& backend, const PreparedHessian& hessian);

  // `row_losses` from `error` and `gradient` as they are. Errors: as Recompute.
  absl::Status SumRowLosses(Backend& backend);
};

// tr(E H E^T) of all rows of the linear with the undamped H, from the loss with H' = H + lambda I and E; at least 0.
// `residual` holds the rows of `share`. Collective.
absl::StatusOr<double> UndampedLoss(Backend& backend, const PreparedHessian& hessian, const RowShare& share,
                                    const Residual& residual);

// loss / signal_loss; 0 when there is no signal.
inline double RelativeError(double loss, double signal_loss) { return signal_loss > 0 ? loss / signal_loss : 0.0; }

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_RESIDUAL_H_
