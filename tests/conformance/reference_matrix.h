#ifndef GPTVQ_TESTS_CONFORMANCE_REFERENCE_MATRIX_H_
#define GPTVQ_TESTS_CONFORMANCE_REFERENCE_MATRIX_H_

#include <cstdint>
#include <vector>

#include "core/base/dtype.h"

namespace gptvq {

// A dense matrix in float64, for expectations.
struct Matrix64 {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> values;

  Matrix64(std::int64_t rows, std::int64_t cols)
      : rows(rows), cols(cols), values(static_cast<std::size_t>(rows * cols)) {}
  Matrix64(std::int64_t rows, std::int64_t cols, const std::vector<float>& from)
      : rows(rows), cols(cols), values(from.begin(), from.end()) {}

  double& operator()(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * cols + c)]; }
  double operator()(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * cols + c)]; }
};

// The values as a tensor of that dtype holds them.
std::vector<float> RoundedTo(DType dtype, std::vector<float> values);

// Unit roundoff of a dtype: half the distance from 1 to the next number.
double UnitRoundoff(DType dtype);

std::vector<float> ToFloat(const Matrix64& matrix);

// A random symmetric positive definite matrix with correlated columns and a few large ones, as activations give:
// A A^T / n + a tenth of the identity.
Matrix64 RandomHessian(std::int64_t order, std::uint64_t stream);

// V upper triangular with h = V V^T, and M = V blockdiag(V_PP)^-1.
Matrix64 ReversedCholesky64(const Matrix64& h);
Matrix64 NormalizeBlockColumns64(const Matrix64& v, int vector_dim);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CONFORMANCE_REFERENCE_MATRIX_H_
