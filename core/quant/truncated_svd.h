#ifndef GPTVQ_CORE_QUANT_TRUNCATED_SVD_H_
#define GPTVQ_CORE_QUANT_TRUNCATED_SVD_H_

#include <vector>

#include "core/base/matrix_view.h"

namespace gptvq {

// The nearest matrix of rank at most `rank` in the Frobenius norm (Eckart and Young 1936), as a product of two factors:
// A [m, n] ~ coefficients [m, rank] * basis [rank, n]. The rows of `basis` are the orthonormal right singular vectors
// of the `rank` largest singular values, in decreasing order; column j of `coefficients` has singular value j as its
// norm. Both row-major.
struct TruncatedSvd {
  int rank = 0;
  std::vector<double> coefficients;
  std::vector<double> basis;
};

// From the eigenvectors of A^T A by cyclic Jacobi rotations, in float64: for tall matrices of up to some hundred columns.
// Pure; sums in order on one thread. Singular values below 1e-8 of the largest are noise.
// Preconditions: 1 <= rank <= n, A finite.
TruncatedSvd TruncateSvd(MatrixView<const float> matrix, int rank);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_TRUNCATED_SVD_H_
