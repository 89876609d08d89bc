#include "tests/core/quant/dense_math.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/support/test_random.h"

namespace gptvq {

Dense Transposed(const Dense& a) {
  Dense t(a.cols, a.rows);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.cols; ++c) t(c, r) = a(r, c);
  }
  return t;
}

Dense Product(const Dense& a, const Dense& b) {
  Dense product(a.rows, b.cols);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t k = 0; k < a.cols; ++k) {
      for (std::int64_t c = 0; c < b.cols; ++c) product(r, c) += a(r, k) * b(k, c);
    }
  }
  return product;
}

Dense Difference(const Dense& a, const Dense& b) {
  Dense difference = a;
  for (std::size_t i = 0; i < a.values.size(); ++i) difference.values[i] -= b.values[i];
  return difference;
}

std::vector<float> Narrowed(const Dense& a) { return std::vector<float>(a.values.begin(), a.values.end()); }

Dense Damped(const Dense& h, double fraction) {
  double mean = 0;
  for (std::int64_t i = 0; i < h.rows; ++i) mean += h(i, i) / static_cast<double>(h.rows);
  Dense damped = h;
  for (std::int64_t i = 0; i < h.rows; ++i) damped(i, i) += fraction * mean;
  return damped;
}

Dense Inverse(const Dense& a) {
  const std::int64_t n = a.rows;
  Dense left = a;
  Dense right(n, n);
  for (std::int64_t i = 0; i < n; ++i) right(i, i) = 1;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t pivot = i;
    for (std::int64_t r = i; r < n; ++r) pivot = std::abs(left(r, i)) > std::abs(left(pivot, i)) ? r : pivot;
    for (std::int64_t c = 0; c < n; ++c) {
      std::swap(left(i, c), left(pivot, c));
      std::swap(right(i, c), right(pivot, c));
    }
    const double scale = 1 / left(i, i);
    for (std::int64_t c = 0; c < n; ++c) {
      left(i, c) *= scale;
      right(i, c) *= scale;
    }
    for (std::int64_t r = 0; r < n; ++r) {
      const double factor = r == i ? 0 : left(r, i);
      for (std::int64_t c = 0; c < n && factor != 0; ++c) {
        left(r, c) -= factor * left(i, c);
        right(r, c) -= factor * right(i, c);
      }
    }
  }
  return right;
}

Dense LowerCholesky(const Dense& a) {
  Dense l(a.rows, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      double sum = a(i, j);
      for (std::int64_t k = 0; k < j; ++k) sum -= l(i, k) * l(j, k);
      l(i, j) = i == j ? std::sqrt(sum) : sum / l(j, j);
    }
  }
  return l;
}

double QuadraticLoss(const Dense& e, const Dense& h) {
  const Dense product = Product(e, h);
  double loss = 0;
  for (std::size_t i = 0; i < e.values.size(); ++i) loss += product.values[i] * e.values[i];
  return loss;
}

Dense CorrelatedHessian(std::int64_t cols, std::int64_t tokens, std::uint64_t stream) {
  TestRandom random(stream);
  const std::int64_t rank = std::max<std::int64_t>(1, cols / 3);
  Dense mixing(rank, cols);
  for (double& value : mixing.values) value = random.Normal();
  Dense x(tokens, cols);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t c = 0; c < cols; ++c) x(t, c) = 0.5 * random.Normal();
    for (std::int64_t k = 0; k < rank; ++k) {
      const double latent = random.Normal() / std::sqrt(1.0 + static_cast<double>(k));
      for (std::int64_t c = 0; c < cols; ++c) x(t, c) += latent * mixing(k, c);
    }
    for (std::int64_t c = 5; c < cols; c += 29) x(t, c) *= 10;
  }
  return Product(Transposed(x), x);
}

}  // namespace gptvq
