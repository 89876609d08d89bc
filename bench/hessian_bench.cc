// QuantOps::AccumulateHessian: the upper triangle of x^T x, T C (C + 1) operations.
#include <cmath>

#include "bench/bench_support.h"

namespace gptvq {
namespace {

void MeasureHessian(Bench& bench, std::int64_t tokens, std::int64_t cols) {
  Backend& backend = bench.backend();
  const DeviceMatrix<float> x = BenchMatrix(backend, tokens, cols, 1);
  DeviceMatrix<float> h = DeviceMatrix<float>::Zeros(backend, cols, cols).value();
  const ConstTensorView view(x.view().data, DType::kF32, tokens, cols, cols);
  const auto accumulate = [&] { (void)backend.quant().AccumulateHessian(view, h.view()); };
  accumulate();
  const auto x_host = x.ToHost(backend).value(), h_host = h.ToHost(backend).value();
  for (std::int64_t i = 0; i < 20; ++i) {
    const std::int64_t row = i * 7919 % cols, col = row + i * 104729 % (cols - row);
    double sum = 0;
    for (std::int64_t t = 0; t < tokens; ++t)
      sum += static_cast<double>(x_host[t * cols + row]) * x_host[t * cols + col];
    CheckResult(std::fabs(h_host[row * cols + col] - sum) < 1e-5 * static_cast<double>(tokens), "x^T x");
  }
  bench.Measure(
      "AccumulateHessian " + std::to_string(tokens) + "x" + std::to_string(cols),
      {static_cast<double>(tokens * cols * (cols + 1)), 4.0 * static_cast<double>(tokens * cols + cols * cols)},
      Roof::kFma, accumulate);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("hessian", argc, argv);
  gptvq::MeasureHessian(bench, 1024, 576);
  gptvq::MeasureHessian(bench, 4096, 576);
  gptvq::MeasureHessian(bench, 4096, 1536);
}
