#include "tests/conformance/reference_matrix.h"

#include <cmath>
#include <cstddef>

#include "core/base/check.h"
#include "tests/support/test_random.h"

namespace gptvq {

std::vector<float> RoundedTo(DType dtype, std::vector<float> values) {
  std::vector<std::byte> bytes(values.size() * DTypeBytes(dtype));
  EncodeFromFloat(dtype, values, absl::MakeSpan(bytes));
  DecodeToFloat(dtype, bytes, absl::MakeSpan(values));
  return values;
}

double UnitRoundoff(DType dtype) {
  GPTVQ_CHECK(dtype == DType::kF32 || dtype == DType::kBf16);
  return dtype == DType::kF32 ? 0x1.0p-24 : 0x1.0p-8;
}

std::vector<float> ToFloat(const Matrix64& matrix) {
  return std::vector<float>(matrix.values.begin(), matrix.values.end());
}

Matrix64 RandomHessian(std::int64_t order, std::uint64_t stream) {
  TestRandom random(stream);
  Matrix64 a(order, order);
  for (std::int64_t r = 0; r < order; ++r) {
    const double gain = r % 17 == 3 ? 5.0 : 1.0;
    for (std::int64_t c = 0; c < order; ++c) a(r, c) = gain * (random.Normal() + (c % 5 == 0 ? 1.0 : 0.0));
  }
  Matrix64 h(order, order);
  for (std::int64_t r = 0; r < order; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < order; ++i) sum += a(r, i) * a(c, i);
      h(r, c) = h(c, r) = sum / static_cast<double>(order) + (r == c ? 0.1 : 0.0);
    }
  }
  return h;
}

Matrix64 ReversedCholesky64(const Matrix64& h) {
  Matrix64 v(h.rows, h.cols);
  for (std::int64_t c = h.cols - 1; c >= 0; --c) {
    for (std::int64_t r = c; r >= 0; --r) {
      double rest = h(r, c);
      for (std::int64_t i = c + 1; i < h.cols; ++i) rest -= v(r, i) * v(c, i);
      v(r, c) = r == c ? std::sqrt(rest) : rest / v(c, c);
    }
  }
  return v;
}

Matrix64 NormalizeBlockColumns64(const Matrix64& v, int vector_dim) {
  Matrix64 m(v.rows, v.cols);
  for (std::int64_t r = 0; r < v.rows; ++r) {
    for (std::int64_t p = 0; p < v.cols; p += vector_dim) {
      for (std::int64_t c = p; c < p + vector_dim; ++c) {
        double rest = v(r, c);
        for (std::int64_t i = p; i < c; ++i) rest -= m(r, i) * v(i, c);
        m(r, c) = rest / v(c, c);
      }
    }
  }
  return m;
}

}  // namespace gptvq
