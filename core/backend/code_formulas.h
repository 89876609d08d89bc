#ifndef GPTVQ_CORE_BACKEND_CODE_FORMULAS_H_
#define GPTVQ_CORE_BACKEND_CODE_FORMULAS_H_

#include <cmath>
#include <cstdint>

#include "core/backend/host_device.h"

// Scalar formulas of the vector code, one vector at a time: what a GPU thread computes. core/cpu evaluates the same
// expressions for several rows at once in vector registers. Fused operations are spelled `fmaf`; nothing else
// may be fused. D is the vector dimension; a "packed metric" holds a symmetric D x D matrix A as A_00, 2 A_10,
// A_11, 2 A_20, ... , so that c' A c = sum over i >= j of metric[i (i + 1) / 2 + j] c_i c_j.
namespace gptvq {

// The row block that holds `row` when `rows` rows are cut into `row_block_count` blocks as GroupLayout does:
// the largest b with b * rows / row_block_count <= row.
GPTVQ_HD inline std::int64_t RowBlockOf(std::int64_t row, std::int64_t rows, std::int64_t row_block_count) {
  return ((row + 1) * row_block_count - 1) / rows;
}

GPTVQ_HD constexpr int PackedMetricSize(int d) { return d * (d + 1) / 2; }

// The packed metric V_PP V_PP^T of one vector position; `factor` points at V_PP inside a row-major matrix.
template <int D>
GPTVQ_HD inline void PackFactorMetric(const float* factor, std::int64_t stride, float* metric_out) {
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = 0;
      for (int l = i; l < D; ++l) sum += static_cast<double>(factor[i * stride + l]) * factor[j * stride + l];
      metric_out[i * (i + 1) / 2 + j] = (i == j ? 1.0f : 2.0f) * static_cast<float>(sum);
    }
  }
}

// The packed metric A_PP itself; `matrix` points at A_PP inside a row-major symmetric matrix.
template <int D>
GPTVQ_HD inline void PackMetric(const float* matrix, std::int64_t stride, float* metric_out) {
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j <= i; ++j) metric_out[i * (i + 1) / 2 + j] = (i == j ? 1.0f : 2.0f) * matrix[i * stride + j];
  }
}

// c' A c.
template <int D>
GPTVQ_HD inline float QuadraticForm(const float* metric, const float* c) {
  float sum = 0;
  for (int i = 0; i < D; ++i) {
    float inner = metric[i * (i + 1) / 2] * c[0];
    for (int j = 1; j <= i; ++j) inner = fmaf(metric[i * (i + 1) / 2 + j], c[j], inner);
    sum = fmaf(inner, c[i], sum);
  }
  return sum;
}

// c' A c + b . c, `quadratic` = c' A c.
template <int D>
GPTVQ_HD inline float CentroidDistance(float quadratic, const float* b, const float* c) {
  for (int j = 0; j < D; ++j) quadratic = fmaf(b[j], c[j], quadratic);
  return quadratic;
}

// sum - 2 (A v)_j from the packed metric, whose off-diagonal elements are doubled already.
template <int D>
GPTVQ_HD inline float SubtractTwiceMetricRow(const float* metric, const float* v, int j, float sum) {
  for (int i = 0; i < D; ++i) {
    const int low = i < j ? i : j;
    const int high = i < j ? j : i;
    const float packed = metric[high * (high + 1) / 2 + low];
    sum = fmaf(-(i == j ? 2.0f * packed : packed), v[i], sum);
  }
  return sum;
}

// b = -2 A t / s: then c' A c + b . c is ||t - s c||^2_A / s^2 but for a constant.
template <int D>
GPTVQ_HD inline void SweepSlope(const float* metric, const float* target, float inverse_scale, float* b_out) {
  for (int j = 0; j < D; ++j) b_out[j] = SubtractTwiceMetricRow<D>(metric, target, j, 0.0f) * inverse_scale;
}

// b = 2 (g - A q) / s: then s^2 (c' A c + b . c) is the change of the loss when q becomes s c, but for a constant.
template <int D>
GPTVQ_HD inline void RefineSlope(const float* metric, const float* gradient, const float* q, float inverse_scale,
                                 float* b_out) {
  for (int j = 0; j < D; ++j) {
    b_out[j] = SubtractTwiceMetricRow<D>(metric, q, j, gradient[j] + gradient[j]) * inverse_scale;
  }
}

// sum_j w_j (x_j - c_j)^2 without its constant, `slope` = -2 w x: two fused operations a component.
template <int D>
GPTVQ_HD inline float EmDistance(const float* w, const float* slope, const float* c) {
  float distance = c[0] * fmaf(w[0], c[0], slope[0]);
  for (int j = 1; j < D; ++j) distance = fmaf(c[j], fmaf(w[j], c[j], slope[j]), distance);
  return distance;
}

// The same with its constant, for comparing vectors of one cell.
template <int D>
GPTVQ_HD inline float WeightedDistance(const float* w, const float* x, const float* c) {
  float sum = 0;
  for (int j = 0; j < D; ++j) {
    const float difference = x[j] - c[j];
    sum += w[j] * difference * difference;
  }
  return sum;
}

// Solves m V_PP = v_P, V_PP upper triangular: one row of the feedback matrix at one position.
template <int D>
GPTVQ_HD inline void SolveAgainstBlock(const float* v, const float* block, std::int64_t stride, float* m_out) {
  double m[D];
  for (int j = 0; j < D; ++j) {
    double rest = v[j];
    for (int i = 0; i < j; ++i) rest -= m[i] * block[i * stride + j];
    m[j] = rest / block[j * stride + j];
    m_out[j] = static_cast<float>(m[j]);
  }
}

// The rank, among `count` vectors in the order of their Mahalanobis distance, of the seed of centroid k of K: round(k
// (count - 1) / (K - 1)).
GPTVQ_HD inline std::int64_t SeedRank(std::int64_t k, std::int64_t centroid_count, std::int64_t count) {
  const std::int64_t steps = centroid_count - 1;
  return (2 * k * (count - 1) + steps) / (2 * steps);
}

// The lower Cholesky factor of a D x D scatter matrix of which the lower triangle is given, with
// `regularisation` of its mean diagonal added to the diagonal; the identity when that is not positive definite.
// In place.
template <int D>
GPTVQ_HD inline void FactorScatter(double regularisation, double (&scatter)[D][D]) {
  double trace = 0;
  for (int i = 0; i < D; ++i) trace += scatter[i][i];
  bool positive = true;
  for (int i = 0; i < D && positive; ++i) {
    for (int j = 0; j <= i; ++j) {
      double rest = scatter[i][j] + (i == j ? regularisation * trace / D : 0.0);
      for (int m = 0; m < j; ++m) rest -= scatter[i][m] * scatter[j][m];
      positive = positive && (i != j || rest > 0);
      scatter[i][j] = i == j ? sqrt(rest > 0 ? rest : 0.0) : rest / scatter[j][j];
    }
  }
  if (positive) return;
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j <= i; ++j) scatter[i][j] = i == j ? 1.0 : 0.0;
  }
}

// |L^-1 (x - mean)|^2 with L of FactorScatter.
template <int D>
GPTVQ_HD inline float MahalanobisDistance(const float* x, const double* mean, const double (&factor)[D][D]) {
  double z[D];
  double sum = 0;
  for (int i = 0; i < D; ++i) {
    double rest = x[i] - mean[i];
    for (int m = 0; m < i; ++m) rest -= factor[i][m] * z[m];
    z[i] = rest / factor[i][i];
    sum += z[i] * z[i];
  }
  return static_cast<float>(sum);
}

// silu(gate) * up; an overflowing exponential gives 0.
GPTVQ_HD inline float SwiGluOf(float gate, float up) { return gate / (1.0f + expf(-gate)) * up; }

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_CODE_FORMULAS_H_
