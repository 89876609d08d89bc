// QuantOps::ReversedCholesky (n^3 / 3 operations in f64; the sgemm roof is in f32, so a half of it is all there is) and
// NormalizeBlockColumns (n^2 / 2 numbers moved).
#include <cmath>

#include "bench/bench_support.h"

namespace gptvq {
namespace {

void MeasureFactor(Bench& bench, std::int64_t order) {
  Backend& backend = bench.backend();
  const DeviceMatrix<float> a = BenchMatrix(backend, order, order, 1);
  DeviceMatrix<float> h = DeviceMatrix<float>::Zeros(backend, order, order).value();
  (void)backend.quant().MatMul(1.0f / static_cast<float>(order), a.view(), Transpose::kNo, a.view(), Transpose::kYes, 0,
                               h.view());
  auto h_host = h.ToHost(backend).value();
  for (std::int64_t i = 0; i < order; ++i) h_host[i * (order + 1)] += 0.1f;
  DeviceMatrix<float> v = DeviceMatrix<float>::FromHost(backend, h_host.data(), order, order).value();
  const auto factor = [&] {
    (void)backend.CopyBytesFromHost(h_host.data(), v.view().data, h_host.size() * sizeof(float));
    CheckResult(backend.quant().ReversedCholesky(v.view()).ok(), "factorisation");
  };
  factor();
  const auto v_host = v.ToHost(backend).value();
  for (std::int64_t i = 0; i < 20; ++i) {
    const std::int64_t row = i * 7919 % order, col = i * 104729 % order;
    double sum = 0;
    for (std::int64_t k = 0; k < order; ++k)
      sum += static_cast<double>(v_host[row * order + k]) * v_host[col * order + k];
    CheckResult(std::fabs(sum - h_host[row * order + col]) < 1e-4, "V V^T");
  }
  const double n = static_cast<double>(order);
  bench.Measure("ReversedCholesky " + std::to_string(order), {n * n * n / 3, 8 * n * n}, Roof::kSgemm, factor);
  DeviceMatrix<float> m = DeviceMatrix<float>::Zeros(backend, order, order).value();
  bench.Measure("NormalizeBlockColumns " + std::to_string(order) + " d=2", {1.5 * n * n, 6 * n * n}, Roof::kTriad,
                [&] { (void)backend.quant().NormalizeBlockColumns(v.view(), 2, m.view()); });
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("cholesky", argc, argv);
  gptvq::MeasureFactor(bench, 576);
  gptvq::MeasureFactor(bench, 1536);
  gptvq::MeasureFactor(bench, 4096);
}
