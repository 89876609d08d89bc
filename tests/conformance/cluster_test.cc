#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "core/base/philox.h"
#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/vector_code_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class ClusterConformance : public BackendConformance {};

// One stripe's problem: the targets and the column weights.
struct StripeInputs {
  const Stripe* stripe;
  std::vector<float> x;        // [R, width]
  std::vector<float> weights;  // [width]
};

StripeInputs RandomStripe(const VectorCodeCase& host, std::size_t index) {
  const Stripe& stripe = host.layout.stripes()[index];
  return {&stripe, TestRandom(80).Normals(host.shape.rows * stripe.column_count),
          TestRandom(81).Uniforms(stripe.column_count, 0.1, 10)};
}

using Result = std::tuple<std::vector<float>, std::int64_t, double>;  // codebooks, iterations, objective

Result RunCluster(Backend& backend, const VectorCodeCase& host, const StripeInputs& in, const EmOptions& options) {
  const DeviceVectorCode device(backend, host);
  const GuardedMatrix<float> x(backend, host.shape.rows, in.stripe->column_count, in.x);
  const auto result =
      backend.quant().ClusterStripe(device.code(), *in.stripe, x.view(), in.weights, options, device.codebooks.view());
  EXPECT_TRUE(result.ok());
  return {device.codebooks.Read(), result->iterations, result->objective};
}

// The vectors of one group as EM sees them, in row-major order, in float64.
struct Group64 {
  int d;
  std::vector<std::vector<double>> x, w;  // [N][d]
};

Group64 GatherGroup(const VectorCodeCase& host, const StripeInputs& in, std::int64_t block) {
  Group64 group = {host.shape.vector_dim, {}, {}};
  const std::int64_t width = in.stripe->column_count;
  for (std::int64_t r = host.layout.RowBlockBegin(*in.stripe, block);
       r < host.layout.RowBlockBegin(*in.stripe, block + 1); ++r) {
    for (std::int64_t c = 0; c < width; c += group.d) {
      const double scale = host.Scale(r, in.stripe->column_begin + c);
      group.x.emplace_back();
      group.w.emplace_back();
      for (int j = 0; j < group.d; ++j) {
        group.x.back().push_back(in.x[r * width + c + j] / scale);
        group.w.back().push_back(in.weights[c + j] * scale * scale);
      }
    }
  }
  return group;
}

using Codebook64 = std::vector<std::vector<double>>;  // [K][d]

Codebook64 CodebookOf(const VectorCodeCase& host, const std::vector<float>& codebooks, std::int64_t group) {
  const int d = host.shape.vector_dim;
  Codebook64 codebook(host.centroid_count(), std::vector<double>(d));
  for (int k = 0; k < host.centroid_count(); ++k) {
    for (int j = 0; j < d; ++j) codebook[k][j] = codebooks[(group * host.centroid_count() + k) * d + j];
  }
  return codebook;
}

double Distance64(const Group64& group, std::size_t n, const std::vector<double>& c) {
  double sum = 0;
  for (int j = 0; j < group.d; ++j) sum += group.w[n][j] * (group.x[n][j] - c[j]) * (group.x[n][j] - c[j]);
  return sum;
}

// The nearest centroid of every vector, and the sum of the distances.
std::pair<std::vector<int>, double> Assign64(const Group64& group, const Codebook64& codebook) {
  std::vector<int> assigned;
  double total = 0;
  for (std::size_t n = 0; n < group.x.size(); ++n) {
    int best = 0;
    for (int k = 1; k < static_cast<int>(codebook.size()); ++k) {
      if (Distance64(group, n, codebook[k]) < Distance64(group, n, codebook[best])) best = k;
    }
    assigned.push_back(best);
    total += Distance64(group, n, codebook[best]);
  }
  return {assigned, total};
}

double StripeObjective64(const VectorCodeCase& host, const StripeInputs& in, const std::vector<float>& codebooks) {
  double total = 0;
  for (std::int64_t block = 0; block < in.stripe->row_block_count; ++block) {
    total += Assign64(GatherGroup(host, in, block), CodebookOf(host, codebooks, in.stripe->first_group + block)).second;
  }
  return total;
}

TEST_P(ClusterConformance, ConvergesToAFixedPointOfAssignmentAndMean) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    const VectorCodeCase host(shape);
    const StripeInputs in = RandomStripe(host, host.layout.stripes().size() - 1);
    SCOPED_TRACE(Describe(shape));

    const auto [codebooks, iterations, objective] =
        OnEveryThreadCount([&](Backend& b) { return RunCluster(b, host, in, {.max_iterations = 500}); });

    ASSERT_LT(iterations, 500);
    const double objective64 = StripeObjective64(host, in, codebooks);
    EXPECT_NEAR(objective, objective64, 1e-5 * objective64 + 1e-9) << "objective reported is not that of the codebooks";
    const int d = shape.vector_dim;
    for (std::int64_t block = 0; block < in.stripe->row_block_count; ++block) {
      const Group64 group = GatherGroup(host, in, block);
      const Codebook64 codebook = CodebookOf(host, codebooks, in.stripe->first_group + block);
      const auto [assigned, total] = Assign64(group, codebook);
      for (int k = 0; k < host.centroid_count(); ++k) {
        std::vector<double> sum(d), weight(d);
        for (std::size_t n = 0; n < group.x.size(); ++n) {
          for (int j = 0; j < d && assigned[n] == k; ++j) {
            sum[j] += group.w[n][j] * group.x[n][j];
            weight[j] += group.w[n][j];
          }
        }
        for (int j = 0; j < d; ++j) {
          if (weight[j] == 0) continue;
          ASSERT_NEAR(codebook[k][j], sum[j] / weight[j], 1e-4) << "centroid " << k << " is no mean";
        }
      }
    }
    for (std::size_t e = 0; e < codebooks.size(); ++e) {  // other stripes' codebooks are left alone
      const std::int64_t group = static_cast<std::int64_t>(e) / (host.centroid_count() * d);
      if (group >= in.stripe->first_group) break;
      ASSERT_EQ(codebooks[e], host.codebooks[e]);
    }
  }
}

TEST_P(ClusterConformance, TheObjectiveNeverRisesFromIterationToIteration) {
  const VectorCodeCase host({64, 256, 2, 5, 8192, 256, 64});
  const StripeInputs in = RandomStripe(host, 0);
  double before = INFINITY;
  for (int iterations = 1; iterations <= 30; ++iterations) {
    const auto [codebooks, done, objective] = RunCluster(backend(), host, in, {.max_iterations = iterations});

    ASSERT_LE(objective, before * (1 + 1e-6)) << "iteration " << iterations;
    ASSERT_LE(done, iterations);
    before = objective;
  }
}

TEST_P(ClusterConformance, OneIterationAssignsToTheSeedsAndTakesMeans) {
  for (int d : {1, 2, 4}) {
    const VectorCodeCase host({16, 128, d, 4, 2048, 128, 64});
    const StripeInputs in = RandomStripe(host, 0);
    const auto seeds = std::get<0>(RunCluster(backend(), host, in, {.max_iterations = 0}));

    const auto [codebooks, iterations, objective] =
        OnEveryThreadCount([&](Backend& b) { return RunCluster(b, host, in, {.max_iterations = 1}); });

    EXPECT_EQ(iterations, 1);
    const Group64 group = GatherGroup(host, in, 0);
    const auto [assigned, total] = Assign64(group, CodebookOf(host, seeds, 0));
    Codebook64 sum(16, std::vector<double>(d)), weight = sum;
    for (std::size_t n = 0; n < group.x.size(); ++n) {
      for (int j = 0; j < d; ++j) {
        sum[assigned[n]][j] += group.w[n][j] * group.x[n][j];
        weight[assigned[n]][j] += group.w[n][j];
      }
    }
    std::vector<double> expected;
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < d; ++j) expected.push_back(sum[k][j] / weight[k][j]);
    }
    EXPECT_TRUE(Close(codebooks, expected, {1e-6, "means in f64 of f32 numbers; no close calls with this seed"}));
  }
}

// Ranks round(i (N - 1) / (K - 1)) of the Mahalanobis distance, scatter regularised by 1 % of its mean diagonal.
TEST_P(ClusterConformance, MahalanobisSeedsAreTheVectorsAtEqualRankDistances) {
  for (int d : {1, 2, 4}) {
    const VectorCodeCase host({16, 128, d, 4, 2048, 128, 64});
    const StripeInputs in = RandomStripe(host, 0);

    const auto seeds = std::get<0>(OnEveryThreadCount(
        [&](Backend& b) { return RunCluster(b, host, in, {.max_iterations = 0, .seeding = Seeding::kMahalanobis}); }));

    const Group64 group = GatherGroup(host, in, 0);
    const std::size_t count = group.x.size();
    std::vector<double> mean(d);
    for (const auto& x : group.x) {
      for (int j = 0; j < d; ++j) mean[j] += x[j] / static_cast<double>(count);
    }
    std::vector<std::vector<double>> scatter(d, std::vector<double>(2 * d));  // [S | I], solved by Gauss and Jordan
    double trace = 0;
    for (int i = 0; i < d; ++i) {
      for (const auto& x : group.x) {
        for (int j = 0; j < d; ++j) scatter[i][j] += (x[i] - mean[i]) * (x[j] - mean[j]);
      }
      trace += scatter[i][i];
      scatter[i][d + i] = 1;
    }
    for (int i = 0; i < d; ++i) scatter[i][i] += 0.01 * trace / d;
    for (int i = 0; i < d; ++i) {
      const double pivot = scatter[i][i];
      for (double& value : scatter[i]) value /= pivot;
      for (int r = 0; r < d; ++r) {
        const double factor = scatter[r][i];
        for (int c = 0; c < 2 * d && r != i; ++c) scatter[r][c] -= factor * scatter[i][c];
      }
    }
    std::vector<double> distance(count);
    for (std::size_t n = 0; n < count; ++n) {
      for (int i = 0; i < d; ++i) {
        for (int j = 0; j < d; ++j)
          distance[n] += (group.x[n][i] - mean[i]) * scatter[i][d + j] * (group.x[n][j] - mean[j]);
      }
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return distance[a] < distance[b]; });
    std::vector<float> expected;
    for (int k = 0; k < 16; ++k) {
      const std::size_t n = order[std::lround(k * static_cast<double>(count - 1) / 15)];
      for (int j = 0; j < d; ++j) expected.push_back(static_cast<float>(group.x[n][j]));
    }
    EXPECT_EQ(seeds, expected);
  }
}

// D-squared sampling with draw k of Philox(seed, stream + group): the first uniform, then by the running sum.
TEST_P(ClusterConformance, KMeansPlusPlusDrawsByWeightedSquaredDistance) {
  const VectorCodeCase host({32, 128, 2, 4, 1024, 128, 64});
  const StripeInputs in = RandomStripe(host, 0);
  const EmOptions options = {.max_iterations = 0, .seeding = Seeding::kKMeansPlusPlus, .seed = 11, .stream = 500};

  const auto seeds = std::get<0>(OnEveryThreadCount([&](Backend& b) { return RunCluster(b, host, in, options); }));

  std::vector<float> expected;
  for (std::int64_t block = 0; block < in.stripe->row_block_count; ++block) {
    const Group64 group = GatherGroup(host, in, block);
    const Philox random(11, 500 + static_cast<std::uint64_t>(block));
    std::vector<double> nearest(group.x.size(), INFINITY);
    auto chosen = static_cast<std::size_t>(random.Uniform(0) * static_cast<double>(group.x.size()));
    for (int k = 0; k < 16; ++k) {
      if (k > 0) {
        const double wanted = random.Uniform(k) * std::accumulate(nearest.begin(), nearest.end(), 0.0);
        double sum = 0;
        for (chosen = 0; chosen < nearest.size() && (sum += nearest[chosen]) <= wanted;) ++chosen;
      }
      for (std::size_t n = 0; n < nearest.size(); ++n) {
        nearest[n] = std::min(nearest[n], Distance64(group, n, group.x[chosen]));
      }
      for (double value : group.x[chosen]) expected.push_back(static_cast<float>(value));
    }
  }
  EXPECT_EQ(seeds, expected);
}

// Two far clusters of which the seeds know one: a cell that goes empty must move to the other.
TEST_P(ClusterConformance, EmptyCellsMoveToTheWorstRepresentedVector) {
  const VectorCodeCase host({1, 64, 1, 2, 256, 64, 0});
  StripeInputs in = RandomStripe(host, 0);
  in.weights.assign(64, 1.0f);
  for (std::int64_t n = 0; n < 64; ++n) in.x[n] = n < 60 ? 1.0f : 50.0f + static_cast<float>(n);

  const auto [codebooks, iterations, objective] = RunCluster(backend(), host, in, {.max_iterations = 50});

  EXPECT_LT(objective, 1.0);  // five distinct values, four centroids
  EXPECT_EQ(std::set<float>(codebooks.begin(), codebooks.end()).size(), 4u);
}

TEST_P(ClusterConformance, ReferenceCompatibilityZeroesEmptyCellsAndNeverStopsEarly) {
  const VectorCodeCase host({1, 64, 1, 2, 256, 64, 0});
  StripeInputs in = RandomStripe(host, 0);
  in.x.assign(64, 3.0f);  // one point: the first centroid takes all, three cells stay empty

  const auto [codebooks, iterations, objective] =
      RunCluster(backend(), host, in, {.max_iterations = 40, .compatibility = Compatibility::kReference});

  EXPECT_EQ(iterations, 40);
  EXPECT_EQ(codebooks, (std::vector<float>{3, 0, 0, 0}));
  EXPECT_EQ(objective, 0);
}

TEST_P(ClusterConformance, DegenerateGroupsGiveFiniteCodebooks) {
  for (Seeding seeding : {Seeding::kMahalanobis, Seeding::kKMeansPlusPlus}) {
    for (int d : {1, 2, 4}) {
      for (float value : {0.0f, -2.5f}) {  // every vector the same; and fewer vectors than centroids
        const VectorCodeCase host({2, 32, d, 8, 256, 32, 0});
        StripeInputs in = RandomStripe(host, 0);
        in.x.assign(in.x.size(), value);

        const auto [codebooks, iterations, objective] =
            RunCluster(backend(), host, in, {.max_iterations = 20, .seeding = seeding});

        EXPECT_EQ(objective, 0);
        for (float c : codebooks) ASSERT_EQ(c, value);
      }
    }
  }
}

TEST_P(ClusterConformance, FewVectorsAreRepresentedExactly) {
  const VectorCodeCase host({4, 32, 2, 8, 256, 32, 16});  // 64 vectors, 256 centroids
  const StripeInputs in = RandomStripe(host, 0);

  const auto [codebooks, iterations, objective] = RunCluster(backend(), host, in, {.max_iterations = 100});

  EXPECT_LT(objective, 1e-9);
  for (float c : codebooks) EXPECT_TRUE(std::isfinite(c));
}

TEST_P(ClusterConformance, RefusesShapesThatDoNotFit) {
  const VectorCodeCase host({8, 64, 2, 3, 256, 32, 0});
  const DeviceVectorCode device(backend(), host);
  const StripeInputs in = RandomStripe(host, 0);
  const GuardedMatrix<float> x(backend(), 8, 31), fits(backend(), 8, 32);
  Stripe outside = *in.stripe;
  outside.first_group = host.layout.group_count();
  QuantOps& ops = backend().quant();
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  const absl::Span<const float> weights(in.weights);

  EXPECT_EQ(
      ops.ClusterStripe(device.code(), *in.stripe, x.view(), weights, {}, device.codebooks.view()).status().code(),
      kInvalid);
  EXPECT_EQ(ops.ClusterStripe(device.code(), *in.stripe, fits.view(), weights.subspan(1), {}, device.codebooks.view())
                .status()
                .code(),
            kInvalid);
  EXPECT_EQ(
      ops.ClusterStripe(device.code(), outside, fits.view(), weights, {}, device.codebooks.view()).status().code(),
      kInvalid);
}

INSTANTIATE_TEST_SUITE_P(Backends, ClusterConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
