#ifndef GPTVQ_CORE_QUANT_CODEBOOK_UPDATE_H_
#define GPTVQ_CORE_QUANT_CODEBOOK_UPDATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"
#include "core/spec/group_layout.h"

namespace gptvq {

// The codebook update: with assignments and block scales fixed, Q = A c is linear in the codebooks c of the whole layer,
// and L(c) = tr((W - A c) H' (W - A c)^T) is a convex quadratic. Its minimiser solves the normal equations
//   N delta = A^T((W - Q) H'),   N delta := A^T((A delta) H'),
// A = DecodeVectors, A^T = AccumulateCentroidSums. They are solved by conjugate gradient with the diagonal of
// sum scale^2 H'_jj as preconditioner: one product of 2 R C^2 operations an iteration, no learning rate.
// Rows that share no codebook are independent problems: each has its own step lengths and is accepted by itself.

// Maximal sets of rows that are coupled by codebooks, as first rows in ascending order; [0] when all are.
std::vector<std::int64_t> IndependentRowRanges(const GroupLayout& layout);

// The step delta, G x K d, that conjugate gradient reaches from 0.
struct UpdateStep {
  std::vector<double> delta;
  std::int64_t iterations = 0;
};

// At most `max_iterations`; an independent problem stops when one iteration lowers its loss by less than
// `min_relative_gain` of it. `scratch` is overwritten; `residual` belongs to the present state.
absl::StatusOr<UpdateStep> SolveNormalEquations(Backend& backend, const PreparedHessian& hessian,
                                                const VectorState& state, const Residual& residual,
                                                std::int64_t max_iterations, double min_relative_gain,
                                                Residual& scratch);

// Solves, rounds the new codebooks to what is stored, and keeps them for every independent range of rows whose loss
// after rounding is lower than before, as far as `residual` tells; the others stay as they were. The loss never rises. `residual`
// follows, computed anew where a range changed.
// Returns the number of iterations.
absl::StatusOr<std::int64_t> UpdateCodebooks(Backend& backend, const PreparedHessian& hessian,
                                             std::int64_t max_iterations, double min_relative_gain, VectorState& state,
                                             Residual& residual, Residual& scratch);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_CODEBOOK_UPDATE_H_
