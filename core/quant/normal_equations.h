#ifndef GPTVQ_CORE_QUANT_NORMAL_EQUATIONS_H_
#define GPTVQ_CORE_QUANT_NORMAL_EQUATIONS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"

namespace gptvq {

// The operators of the quadratic L(c) = tr((W - A c) H' (W - A c)^T) in the codebooks c of a linear, assignments and
// block scales fixed; A = DecodeVectors, A^T = AccumulateCentroidSums. Between host vectors of G K d numbers: what
// conjugate gradient needs, in the codebooks themselves (codebook_update.h) or in factors of them (codebook_svd.h).
// Borrows everything it is made with; `scratch` is overwritten by every Apply. Thread-compatible. Sums run in the
// backend's fixed order.
class NormalEquations {
 public:
  NormalEquations(Backend& backend, const PreparedHessian& hessian, const VectorState& state, Residual& scratch)
      : backend_(backend), hessian_(hessian), state_(state), scratch_(scratch) {}

  // Before anything else. Errors: ResourceExhausted.
  absl::Status Allocate();

  // A^T((W - Q) H') from the gradient (Q - W) H'.
  absl::StatusOr<std::vector<double>> RightHandSide(MatrixView<const float> gradient);

  // The sums of scale^2 H'_jj over the weights of each entry: the diagonal but for the coupling of weights that share
  // an entry. 0 for centroids that no vector uses.
  absl::StatusOr<std::vector<double>> Diagonal();

  // N x = A^T((A x) H').
  absl::StatusOr<std::vector<double>> Apply(const std::vector<double>& x);

 private:
  absl::StatusOr<std::vector<double>> Adjoint(MatrixView<const float> x);

  Backend& backend_;
  const PreparedHessian& hessian_;
  const VectorState& state_;
  Residual& scratch_;
  DeviceMatrix<float> device_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_NORMAL_EQUATIONS_H_
