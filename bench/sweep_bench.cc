// QuantOps::SweepColumns: one block of 128 columns. Operations: per vector K centroids at d fused multiply-adds plus
// comparison and selection (counted as 2 d + 2), and the feedback, 2 d per later column of the block.
#include <cmath>

#include "bench/vector_case.h"

namespace gptvq {
namespace {

constexpr std::int64_t kBlock = 128;

void MeasureSweep(Bench& bench, VectorCase& c) {
  Backend& backend = bench.backend();
  const std::int64_t rows = c.layout.rows();
  const DeviceMatrix<float> weights = BenchMatrix(backend, rows, kBlock, 4);
  DeviceMatrix<float> target = BenchMatrix(backend, rows, kBlock, 4);
  DeviceMatrix<float> error = DeviceMatrix<float>::Zeros(backend, rows, kBlock).value();
  std::vector<float> factor = BenchNormals(kBlock * kBlock, 5, 0.05);
  for (std::int64_t i = 0; i < kBlock; ++i) factor[i * (kBlock + 1)] = 1;
  const auto v = DeviceMatrix<float>::FromHost(backend, factor.data(), kBlock, kBlock).value();
  SweepBlock block;
  block.weights = weights.view();
  block.target = target.view();
  block.feedback = v.view();
  block.metric_factor = v.view();
  block.error_out = error.view();
  double loss = 0;
  const auto sweep = [&] {
    (void)backend.CopyInside(weights.view(), target.view());
    loss = backend.quant().SweepColumns(c.code(), c.codebooks.view(), block, c.assignments.view()).value();
  };
  sweep();
  const auto error_host = error.ToHost(backend).value();
  double squares = 0;
  for (float e : error_host) squares += static_cast<double>(e) * e;
  // The metric is nearly the identity, so the loss is nearly the squared error.
  CheckResult(loss > 0.5 * squares && loss < 2 * squares && std::isfinite(squares), "loss of the sweep");
  const double vectors = static_cast<double>(rows * kBlock / c.spec.vector_dim);
  const double k = c.spec.centroid_count(), d = c.spec.vector_dim;
  bench.Measure("SweepColumns " + c.label,
                {vectors * (k * (2 * d + 2) + d * kBlock), 16.0 * static_cast<double>(rows * kBlock)}, Roof::kFma,
                sweep);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("sweep", argc, argv);
  for (gptvq::VectorCase& c : gptvq::VectorCases(bench.backend())) gptvq::MeasureSweep(bench, c);
}
