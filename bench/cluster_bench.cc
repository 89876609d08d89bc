// QuantOps::ClusterStripe: 100 iterations of EM over one stripe of 256 columns. Operations: 3 K per weight and iteration (the
// distance: difference, square, weighted sum).
#include <cmath>

#include "bench/vector_case.h"

namespace gptvq {
namespace {

constexpr int kIterations = 100;

void MeasureCluster(Bench& bench, VectorCase& c, Seeding seeding) {
  Backend& backend = bench.backend();
  const Stripe& stripe = c.layout.stripes().front();
  const std::int64_t rows = c.layout.rows();
  const DeviceMatrix<float> x = BenchMatrix(backend, rows, stripe.column_count, 8);
  std::vector<float> weights = BenchNormals(stripe.column_count, 9);
  for (float& weight : weights) weight = std::exp(weight);
  // Compatibility::kReference so that every run does the same number of iterations.
  const EmOptions options = {
      .max_iterations = kIterations, .seeding = seeding, .compatibility = Compatibility::kReference};
  EmResult result;
  const auto cluster = [&](const EmOptions& em) {
    result = backend.quant().ClusterStripe(c.code(), stripe, x.view(), weights, em, c.codebooks.view()).value();
  };
  cluster({.max_iterations = 1, .seeding = seeding});
  const double first = result.objective;
  cluster(options);
  CheckResult(result.objective < first && result.objective > 0, "objective");
  const double size = static_cast<double>(rows * stripe.column_count);
  bench.Measure("ClusterStripe " + c.label + (seeding == Seeding::kKMeansPlusPlus ? " k-means++" : ""),
                {3.0 * c.spec.centroid_count() * size * kIterations, 8 * size * kIterations}, Roof::kFma,
                [&] { cluster(options); });
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("cluster", argc, argv);
  auto cases = gptvq::VectorCases(bench.backend());
  for (gptvq::VectorCase& c : cases) gptvq::MeasureCluster(bench, c, gptvq::Seeding::kMahalanobis);
  gptvq::MeasureCluster(bench, cases.front(), gptvq::Seeding::kKMeansPlusPlus);
}
