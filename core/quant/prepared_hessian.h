#ifndef GPTVQ_CORE_QUANT_PREPARED_HESSIAN_H_
#define GPTVQ_CORE_QUANT_PREPARED_HESSIAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/base/monotonic_clock.h"
#include "core/quant/hessian.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// A Hessian made ready for the recipe: damped, factorised once, and shared by all linears that read the same input.
// Owns its matrices (backend memory); move-only, immutable, must not outlive the backend.
//
//   damped     H' = H + lambda I,  lambda = damping() * mean(diag H)
//   factor     V, upper triangular, H' = V V^T
//   feedback   M = V blockdiag(V_PP)^-1, unit block upper triangular with d x d blocks: H' = M D M^T, D_P = V_PP V_PP^T
//
// Everything is minimised against H': the damping stands for what the calibration text did not show, and keeps
// coordinate descent and codebook updates from fitting directions in which the inputs hardly vary (docs/numerics.md).
//
// lambda comes from a ladder: spec.damping, then those of 0.03, 0.1, 0.3 and 1.0 that are larger, until the Cholesky
// factorisation succeeds; then off-diagonal elements are dropped. An H of zeros (an input that no token reached) becomes
// the identity. With Compatibility::kReference the first rung is the only one.
class PreparedHessian {
 public:
  // `clock` may be null: factor_seconds() is then 0. Errors: FailedPrecondition when H has an element that is not finite
  // on its diagonal, or, with Compatibility::kReference, is not positive definite; ResourceExhausted.
  static absl::StatusOr<PreparedHessian> Make(Backend& backend, Hessian hessian, const QuantSpec& spec,
                                              const MonotonicClock* clock);

  std::int64_t cols() const { return damped_.cols(); }
  MatrixView<const float> damped() const { return damped_.view(); }
  MatrixView<const float> factor() const { return factor_.view(); }
  MatrixView<const float> feedback() const { return feedback_.view(); }

  double damping() const { return damping_; }  // the rung used: a fraction of the mean diagonal
  double lambda() const { return lambda_; }    // what was added to the diagonal
  HessianPolicy policy() const { return policy_; }

  // Diagonal of H', in host memory.
  absl::Span<const float> diagonal() const { return diagonal_; }
  // V_jj^2, the loss that a unit error in column j adds when later columns make up for it, in host memory.
  absl::Span<const float> conditional_weights() const { return conditional_weights_; }
  // Columns with H_jj < 1e-8 of the mean diagonal, ascending.
  absl::Span<const std::int64_t> dead_columns() const { return dead_columns_; }
  // Column of the linear at each position of the matrices above; empty stands for the identity. Only with act_order.
  absl::Span<const std::int32_t> permutation() const { return permutation_; }

  // The vector dimension that `feedback` was made for (1 for uniform grids).
  int vector_dim() const { return vector_dim_; }
  double factor_seconds() const { return factor_seconds_; }

 private:
  PreparedHessian() = default;

  absl::Status InspectDiagonal(Backend& backend, const QuantSpec& spec);
  absl::Status Factorise(Backend& backend, const QuantSpec& spec);
  absl::Status SetDamping(Backend& backend, const std::vector<float>& undamped, double rung);

  DeviceMatrix<float> damped_;
  DeviceMatrix<float> factor_;
  DeviceMatrix<float> feedback_;
  std::vector<float> diagonal_;
  std::vector<float> conditional_weights_;
  std::vector<std::int64_t> dead_columns_;
  std::vector<std::int32_t> permutation_;
  double mean_diagonal_ = 0;
  double damping_ = 0;
  double lambda_ = 0;
  HessianPolicy policy_ = HessianPolicy::kFull;
  int vector_dim_ = 1;
  double factor_seconds_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_PREPARED_HESSIAN_H_
