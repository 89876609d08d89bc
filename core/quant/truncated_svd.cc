#include "core/quant/truncated_svd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>

#include "core/base/check.h"

namespace gptvq {
namespace {

// Jacobi converges quadratically: 6 to 10 sweeps in practice.
constexpr int kMaxSweeps = 40;
// A rotation is left out where the element it would clear is this small a share of the trace: it changes no digit.
constexpr double kNegligible = 1e-18;

using Square = std::vector<double>;  // [n, n]

Square GramMatrix(MatrixView<const float> a) {
  const std::int64_t n = a.cols;
  Square gram(static_cast<std::size_t>(n * n), 0);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t i = 0; i < n; ++i) {
      const double factor = a.at(r, i);
      for (std::int64_t j = 0; j < n; ++j) gram[i * n + j] += factor * a.at(r, j);
    }
  }
  return gram;
}

// Turns coordinates p and q of the symmetric `a` so that a(p, q) becomes 0, and rows p and q of `vectors` with them.
void Rotate(std::int64_t n, std::int64_t p, std::int64_t q, Square& a, Square& vectors) {
  const double off = a[p * n + q];
  const double tau = (a[q * n + q] - a[p * n + p]) / (2 * off);
  const double tangent = std::copysign(1 / (std::abs(tau) + std::hypot(1, tau)), tau);
  const double cosine = 1 / std::hypot(1, tangent);
  const double sine = tangent * cosine;
  for (std::int64_t i = 0; i < n; ++i) {
    const double x = a[i * n + p];
    const double y = a[i * n + q];
    a[i * n + p] = cosine * x - sine * y;
    a[i * n + q] = sine * x + cosine * y;
  }
  for (Square* rows : {&a, &vectors}) {
    for (std::int64_t i = 0; i < n; ++i) {
      const double x = (*rows)[p * n + i];
      const double y = (*rows)[q * n + i];
      (*rows)[p * n + i] = cosine * x - sine * y;
      (*rows)[q * n + i] = sine * x + cosine * y;
    }
  }
  a[p * n + q] = a[q * n + p] = 0;
}

// Diagonalises the symmetric `a` in place; returns the eigenvectors as rows, in the order of its diagonal.
Square Diagonalize(std::int64_t n, Square& a) {
  Square vectors(a.size(), 0);
  double trace = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    vectors[i * n + i] = 1;
    trace += a[i * n + i];
  }
  bool rotated = true;
  for (int sweep = 0; sweep < kMaxSweeps && rotated; ++sweep) {
    rotated = false;
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) {
        if (std::abs(a[p * n + q]) <= kNegligible * trace) continue;
        Rotate(n, p, q, a, vectors);
        rotated = true;
      }
    }
  }
  return vectors;
}

}  // namespace

TruncatedSvd TruncateSvd(MatrixView<const float> matrix, int rank) {
  const std::int64_t n = matrix.cols;
  GPTVQ_CHECK(rank >= 1 && rank <= n);
  Square gram = GramMatrix(matrix);
  const Square vectors = Diagonalize(n, gram);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t i, std::int64_t j) { return gram[i * n + i] > gram[j * n + j]; });

  TruncatedSvd svd;
  svd.rank = rank;
  svd.coefficients.assign(static_cast<std::size_t>(matrix.rows * rank), 0);
  for (int j = 0; j < rank; ++j) {
    const auto vector = vectors.begin() + order[j] * n;
    svd.basis.insert(svd.basis.end(), vector, vector + n);
    for (std::int64_t r = 0; r < matrix.rows; ++r) {
      svd.coefficients[r * rank + j] = std::inner_product(vector, vector + n, matrix.row(r), 0.0);
    }
  }
  return svd;
}

}  // namespace gptvq
