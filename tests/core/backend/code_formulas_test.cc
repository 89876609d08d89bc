#include "core/backend/code_formulas.h"

#include <algorithm>
#include <vector>

#include "core/base/philox.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

// Numbers between -1 and 1.
std::vector<float> Numbers(int count, std::uint64_t stream) {
  const Philox random(1, stream);
  std::vector<float> values;
  for (int i = 0; i < count; ++i)
    values.push_back(static_cast<float>(2 * random.Uniform(static_cast<std::uint64_t>(i)) - 1));
  return values;
}

// |(t - s c) V|^2 with V upper triangular, row-major, `stride` apart.
template <int D>
double Distance64(const float* t, double s, const float* c, const float* v, int stride) {
  double sum = 0;
  for (int j = 0; j < D; ++j) {
    double z = 0;
    for (int i = 0; i <= j; ++i) z += (t[i] - s * c[i]) * v[i * stride + j];
    sum += z * z;
  }
  return sum;
}

template <int D>
void ExpectSweepDistances() {
  constexpr int kStride = 7;
  std::vector<float> v = Numbers(D * kStride, 3);
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j < i; ++j) v[i * kStride + j] = 0;
  }
  const auto t = Numbers(D, 4), c = Numbers(D, 5), other = Numbers(D, 6);
  const float s = 0.7f;
  float metric[PackedMetricSize(D)], b[D];
  PackFactorMetric<D>(v.data(), kStride, metric);
  SweepSlope<D>(metric, t.data(), 1.0f / s, b);

  const auto distance = [&](const std::vector<float>& centroid) {
    return s * s * CentroidDistance<D>(QuadraticForm<D>(metric, centroid.data()), b, centroid.data());
  };

  // Both leave out the same constant, so differences agree.
  EXPECT_NEAR(distance(c) - distance(other),
              Distance64<D>(t.data(), s, c.data(), v.data(), kStride) -
                  Distance64<D>(t.data(), s, other.data(), v.data(), kStride),
              1e-5);
}

TEST(CodeFormulas, SweepDistancesAreThoseOfTheMetric) {
  ExpectSweepDistances<1>();
  ExpectSweepDistances<2>();
  ExpectSweepDistances<4>();
}

template <int D>
void ExpectRefineSlope() {
  std::vector<float> h(D * D);
  const auto entries = Numbers(D * D, 7);
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j < D; ++j) h[i * D + j] = entries[std::min(i, j) * D + std::max(i, j)] + (i == j ? 2.0f : 0.0f);
  }
  const auto g = Numbers(D, 8), present = Numbers(D, 9), c = Numbers(D, 10);
  const float s = 1.3f;
  float metric[PackedMetricSize(D)], b[D], q[D];
  PackMetric<D>(h.data(), D, metric);
  for (int j = 0; j < D; ++j) q[j] = s * present[j];
  RefineSlope<D>(metric, g.data(), q, 1.0f / s, b);

  const double change = s * s *
                        (CentroidDistance<D>(QuadraticForm<D>(metric, c.data()), b, c.data()) -
                         CentroidDistance<D>(QuadraticForm<D>(metric, present.data()), b, present.data()));

  double expected = 0;
  for (int i = 0; i < D; ++i) {
    const double delta = s * (static_cast<double>(c[i]) - present[i]);
    expected += 2 * delta * g[i];
    for (int j = 0; j < D; ++j) expected += delta * h[i * D + j] * s * (static_cast<double>(c[j]) - present[j]);
  }
  EXPECT_NEAR(change, expected, 2e-5);
}

TEST(CodeFormulas, RefineSlopeGivesTheChangeOfTheLoss) {
  ExpectRefineSlope<1>();
  ExpectRefineSlope<2>();
  ExpectRefineSlope<4>();
}

TEST(CodeFormulas, EmDistanceLeavesOutAConstantOfTheVector) {
  const auto x = Numbers(4, 11), c = Numbers(4, 12), other = Numbers(4, 13);
  std::vector<float> w = Numbers(4, 14), slope(4);
  for (int j = 0; j < 4; ++j) {
    w[j] = w[j] * w[j] + 0.1f;
    slope[j] = -2.0f * w[j] * x[j];
  }

  const float with_constant =
      WeightedDistance<4>(w.data(), x.data(), c.data()) - WeightedDistance<4>(w.data(), x.data(), other.data());
  const float without =
      EmDistance<4>(w.data(), slope.data(), c.data()) - EmDistance<4>(w.data(), slope.data(), other.data());

  EXPECT_NEAR(with_constant, without, 1e-5f);
}

TEST(CodeFormulas, SolveAgainstBlockInvertsTheTriangle) {
  const float block[16] = {2, 1, -1, 3, 0, 4, 1, 2, 0, 0, 5, 1, 0, 0, 0, 3};
  const float v[4] = {1, -2, 3, 4};
  float m[4];

  SolveAgainstBlock<4>(v, block, 4, m);

  for (int j = 0; j < 4; ++j) {
    double sum = 0;
    for (int i = 0; i <= j; ++i) sum += static_cast<double>(m[i]) * block[i * 4 + j];
    EXPECT_NEAR(sum, v[j], 1e-6);
  }
}

TEST(CodeFormulas, SeedRanksGoFromTheFirstToTheLastInEqualSteps) {
  EXPECT_EQ(SeedRank(0, 16, 1000), 0);
  EXPECT_EQ(SeedRank(15, 16, 1000), 999);
  EXPECT_EQ(SeedRank(1, 16, 1000), 67);  // 66.6
  for (int k = 0; k < 256; ++k) EXPECT_EQ(SeedRank(k, 256, 1), 0);
}

TEST(CodeFormulas, FactorScatterIsTheCholeskyFactorOrTheIdentity) {
  double scatter[2][2] = {{4, 0}, {2, 10}};
  FactorScatter<2>(0.0, scatter);

  EXPECT_DOUBLE_EQ(scatter[0][0], 2);
  EXPECT_DOUBLE_EQ(scatter[1][0], 1);
  EXPECT_DOUBLE_EQ(scatter[1][1], 3);

  const float x[2] = {3, 5};
  const double mean[2] = {1, 1};
  EXPECT_FLOAT_EQ(MahalanobisDistance<2>(x, mean, scatter), 2.0f);  // z = (1, 1)

  double nothing[2][2] = {};
  FactorScatter<2>(0.01, nothing);
  EXPECT_EQ(nothing[0][0], 1);
  EXPECT_EQ(nothing[1][0], 0);
  EXPECT_EQ(nothing[1][1], 1);
}

TEST(CodeFormulas, SwiGluOverflowsToZero) {
  EXPECT_EQ(SwiGluOf(-200.0f, 3.0f), 0.0f);
  EXPECT_EQ(SwiGluOf(200.0f, 3.0f), 600.0f);
  EXPECT_NEAR(SwiGluOf(1.0f, 2.0f), 2 / (1 + std::exp(-1.0)), 1e-6);
}

}  // namespace
}  // namespace gptvq
