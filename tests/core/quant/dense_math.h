#ifndef GPTVQ_TESTS_CORE_QUANT_DENSE_MATH_H_
#define GPTVQ_TESTS_CORE_QUANT_DENSE_MATH_H_

#include <cstdint>
#include <vector>

namespace gptvq {

// A dense matrix in float64 and the textbook algorithms the tests of the recipe compare with: short and slow.
struct Dense {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> values;

  Dense() = default;
  Dense(std::int64_t rows, std::int64_t cols) : rows(rows), cols(cols), values(static_cast<std::size_t>(rows * cols)) {}
  Dense(std::int64_t rows, std::int64_t cols, const std::vector<float>& from)
      : rows(rows), cols(cols), values(from.begin(), from.end()) {}

  double& operator()(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * cols + c)]; }
  double operator()(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * cols + c)]; }
};

Dense Transposed(const Dense& a);
Dense Product(const Dense& a, const Dense& b);
Dense Difference(const Dense& a, const Dense& b);
std::vector<float> Narrowed(const Dense& a);

// h + (fraction * mean diagonal) on the diagonal.
Dense Damped(const Dense& h, double fraction);

// Gauss-Jordan elimination with partial pivoting. Precondition: not singular.
Dense Inverse(const Dense& a);

// L lower triangular with a = L L^T. Precondition: positive definite.
Dense LowerCholesky(const Dense& a);

// tr(e h e^T).
double QuadraticLoss(const Dense& e, const Dense& h);

// sum over `tokens` of x x^T for correlated inputs x with a few loud columns, as activations are.
Dense CorrelatedHessian(std::int64_t cols, std::int64_t tokens, std::uint64_t stream);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_QUANT_DENSE_MATH_H_
