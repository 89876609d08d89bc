// QuantOps::AccumulateCentroidSums: reads four bytes per weight and one per vector, adds each weight once.
#include <cmath>
#include <numeric>

#include "bench/vector_case.h"

namespace gptvq {
namespace {

void MeasureSums(Bench& bench, const VectorCase& c) {
  Backend& backend = bench.backend();
  const DeviceMatrix<float> x = BenchMatrix(backend, c.layout.rows(), c.layout.cols(), 10);
  DeviceMatrix<float> sums = DeviceMatrix<float>::Zeros(backend, c.codebooks.rows(), c.codebooks.cols()).value();
  const auto accumulate = [&] {
    (void)backend.quant().AccumulateCentroidSums(c.code(), c.assignments.view(), x.view(), sums.view());
  };
  accumulate();
  const auto sums_host = sums.ToHost(backend).value(), x_host = x.ToHost(backend).value();
  const double total = std::accumulate(sums_host.begin(), sums_host.end(), 0.0);
  const double expected = std::accumulate(x_host.begin(), x_host.end(), 0.0);
  if (c.spec.block_scale_columns == 0) CheckResult(std::fabs(total - expected) < 1.0, "sum of the sums");
  bench.Measure(
      "AccumulateCentroidSums " + c.label,
      {static_cast<double>(c.weights()), 4.0 * static_cast<double>(c.weights()) + static_cast<double>(c.vectors())},
      Roof::kTriad, accumulate);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("centroid_sums", argc, argv);
  for (const gptvq::VectorCase& c : gptvq::VectorCases(bench.backend())) gptvq::MeasureSums(bench, c);
  gptvq::MeasureSums(bench, {bench.backend(), 576, 1536, "2d-3.125bpv-s64"});
  gptvq::MeasureSums(bench, {bench.backend(), 4096, 4096, "2d-3.125bpv"});
}
