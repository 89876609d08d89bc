#ifndef GPTVQ_CORE_QUANT_CODEBOOK_SVD_H_
#define GPTVQ_CORE_QUANT_CODEBOOK_SVD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/residual.h"
#include "core/quant/vector_state.h"

namespace gptvq {

// SVD codebooks (paper section 3.3; d = 1 only). With the entries of each codebook in ascending order, the codebooks of
// a linear look alike, so the matrix C [G, K] of all of them is nearly of low rank and is stored as
// C ~ codes [G, r] * basis [r, K]: r bytes a group instead of K, plus one basis for the whole linear. G groups, K
// centroids, r rank. Sums on the host run in order on one thread: the same bytes for any thread count.

// Sorts each codebook, renaming assignments with it, and replaces the matrix of all codebooks by its nearest one of rank
// `rank` (truncated_svd.h) with coefficients rounded to int8: 127 is the largest of each column, what a code of 1 is
// worth goes into the basis. Columns of zeros or of rounding noise get codes 0.
// The loss rises by that; the residual is the caller's to recompute. Preconditions: d = 1, 1 <= rank <= K.
absl::Status CompressCodebooks(Backend& backend, int rank, VectorState& state);

// One round of alternating least squares on tr((W - Q) H' (W - Q)^T), assignments fixed, which is a convex quadratic in
// either factor: the codes, rounded again, then the basis, which heals part of that rounding. Each by conjugate gradient
// with the diagonal as preconditioner: at most `max_iterations`, ending where one gains less than `min_relative_gain` of
// the loss; each kept only if the loss of what is stored falls. `residual` belongs to the present state and follows;
// `scratch` is overwritten. Returns the number of iterations. Precondition: `state` holds SVD codebooks.
absl::StatusOr<std::int64_t> TuneFactors(Backend& backend, const PreparedHessian& hessian, std::int64_t max_iterations,
                                         double min_relative_gain, VectorState& state, Residual& residual,
                                         Residual& scratch);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_CODEBOOK_SVD_H_
