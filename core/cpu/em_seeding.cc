#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "core/backend/formulas.h"
#include "core/base/philox.h"
#include "core/cpu/em_group.h"

namespace gptvq {
namespace {

constexpr double kScatterRegularisation = 0.01;  // of the mean diagonal, as in AIMET

void TakeVector(const GroupVectors& vectors, std::int64_t n, int k, Centroids& centroids_out) {
  for (int j = 0; j < vectors.dim(); ++j) centroids_out.plane(j)[k] = vectors.x(j)[n];
}

struct SmallMatrix {
  double at[kMaxVectorDim][kMaxVectorDim] = {};
};

// The lower Cholesky factor of sum (x - mean)(x - mean)^T, regularised; the identity when there is no scatter.
SmallMatrix ScatterFactor(const GroupVectors& vectors, const double* mean, double regularisation) {
  const int d = vectors.dim();
  SmallMatrix scatter;
  for (int i = 0; i < d; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::int64_t n = 0; n < vectors.count(); ++n) {
        sum += (vectors.x(i)[n] - mean[i]) * (vectors.x(j)[n] - mean[j]);
      }
      scatter.at[i][j] = sum;
    }
  }
  double trace = 0;
  for (int i = 0; i < d; ++i) trace += scatter.at[i][i];
  SmallMatrix factor;
  bool positive = true;
  for (int i = 0; i < d && positive; ++i) {
    for (int j = 0; j <= i; ++j) {
      double rest = scatter.at[i][j] + (i == j ? regularisation * trace / d : 0.0);
      for (int m = 0; m < j; ++m) rest -= factor.at[i][m] * factor.at[j][m];
      positive = positive && (i != j || rest > 0);
      factor.at[i][j] = i == j ? std::sqrt(std::max(rest, 0.0)) : rest / factor.at[j][j];
    }
  }
  if (positive) return factor;
  SmallMatrix identity;
  for (int i = 0; i < d; ++i) identity.at[i][i] = 1;
  return identity;
}

// Squared Mahalanobis distance of vector n: |L^-1 (x - mean)|^2.
float MahalanobisDistance(const GroupVectors& vectors, std::int64_t n, const double* mean, const SmallMatrix& factor) {
  double z[kMaxVectorDim];
  double sum = 0;
  for (int i = 0; i < vectors.dim(); ++i) {
    double rest = vectors.x(i)[n] - mean[i];
    for (int m = 0; m < i; ++m) rest -= factor.at[i][m] * z[m];
    z[i] = rest / factor.at[i][i];
    sum += z[i] * z[i];
  }
  return static_cast<float>(sum);
}

// Sorts by the upper 32 bits, equal ones as they came: one counting pass per byte.
void SortByUpperHalf(std::vector<std::uint64_t>& values) {
  std::vector<std::uint64_t> other(values.size());
  for (int shift = 32; shift < 64; shift += 8) {
    std::array<std::size_t, 256> next = {};
    for (std::uint64_t value : values) ++next[(value >> shift) & 0xff];
    std::size_t begin = 0;
    for (std::size_t& slot : next) begin += std::exchange(slot, begin);
    for (std::uint64_t value : values) other[next[(value >> shift) & 0xff]++] = value;
    values.swap(other);
  }
}

void SeedByMahalanobis(const GroupVectors& vectors, double regularisation, Centroids& centroids_out) {
  double mean[kMaxVectorDim] = {};
  for (int j = 0; j < vectors.dim(); ++j) {
    for (std::int64_t n = 0; n < vectors.count(); ++n) mean[j] += vectors.x(j)[n];
    mean[j] /= static_cast<double>(vectors.count());
  }
  const SmallMatrix factor = ScatterFactor(vectors, mean, regularisation);
  // Distance above number: a distance is not negative, so its bits are ordered as it is, and equal ones keep their order.
  std::vector<std::uint64_t> order(static_cast<std::size_t>(vectors.count()));
  for (std::int64_t n = 0; n < vectors.count(); ++n) {
    const auto bits = std::bit_cast<std::uint32_t>(MahalanobisDistance(vectors, n, mean, factor));
    order[n] = (static_cast<std::uint64_t>(bits) << 32) | static_cast<std::uint64_t>(n);
  }
  SortByUpperHalf(order);
  for (std::int64_t k = 0; k < centroids_out.count; ++k) {
    const std::int64_t steps = centroids_out.count - 1;
    const std::int64_t rank = (2 * k * (vectors.count() - 1) + steps) / (2 * steps);
    TakeVector(vectors, static_cast<std::int64_t>(order[rank] & 0xffffffffu), static_cast<int>(k), centroids_out);
  }
}

// Lowers nearest[n] to the weighted squared distance from vector n to vector `chosen`. Plane by plane, so that the
// compiler vectorises it.
void LowerDistances(const GroupVectors& vectors, std::int64_t chosen, std::vector<float>& nearest,
                    std::vector<float>& distance) {
  const std::int64_t count = vectors.count();
  std::fill(distance.begin(), distance.end(), 0.0f);
  for (int j = 0; j < vectors.dim(); ++j) {
    const float* x = vectors.x(j);
    const float* w = vectors.w(j);
    const float center = x[chosen];
    for (std::int64_t n = 0; n < count; ++n) distance[n] += w[n] * (x[n] - center) * (x[n] - center);
  }
  for (std::int64_t n = 0; n < count; ++n) nearest[n] = std::min(nearest[n], distance[n]);
}

// The first n at which the running sum of `mass` passes `fraction` of the whole; uniform when there is no mass.
std::int64_t DrawByMass(const std::vector<float>& mass, double fraction) {
  double total = 0;
  for (float m : mass) total += m;
  if (!(total > 0)) return static_cast<std::int64_t>(fraction * static_cast<double>(mass.size()));
  const double wanted = fraction * total;
  double sum = 0;
  std::int64_t last = 0;
  for (std::size_t n = 0; n < mass.size(); ++n) {
    if (mass[n] > 0) last = static_cast<std::int64_t>(n);
    sum += mass[n];
    if (sum > wanted) return static_cast<std::int64_t>(n);
  }
  return last;
}

void SeedByDSquared(const GroupVectors& vectors, const Philox& random, Centroids& centroids_out) {
  std::vector<float> nearest(static_cast<std::size_t>(vectors.count()), std::numeric_limits<float>::max());
  std::vector<float> distance(nearest.size());
  auto chosen = static_cast<std::int64_t>(random.Uniform(0) * static_cast<double>(vectors.count()));
  for (int k = 0; k < centroids_out.count; ++k) {
    if (k > 0) chosen = DrawByMass(nearest, random.Uniform(static_cast<std::uint64_t>(k)));
    TakeVector(vectors, chosen, k, centroids_out);
    LowerDistances(vectors, chosen, nearest, distance);
  }
}

}  // namespace

void SeedCentroids(const GroupVectors& vectors, const EmOptions& options, std::uint64_t stream,
                   Centroids& centroids_out) {
  switch (options.seeding) {
    case Seeding::kMahalanobis:
      SeedByMahalanobis(vectors, options.compatibility == Compatibility::kReference ? 0.0 : kScatterRegularisation,
                        centroids_out);
      return;
    case Seeding::kKMeansPlusPlus: SeedByDSquared(vectors, Philox(options.seed, stream), centroids_out); return;
  }
}

}  // namespace gptvq
