// QuantOps::MatMul and ForwardOps::Linear at the shapes of SmolLM2-135M: the products of the codebook update (R x C times C x C)
// and of the forward pass (tokens x C times C x R).
#include <cmath>

#include "bench/bench_support.h"

namespace gptvq {
namespace {

void CheckSample(Backend& backend, const DeviceMatrix<float>& a, const DeviceMatrix<float>& b, Transpose transpose_b,
                 const DeviceMatrix<float>& c) {
  const auto a_host = a.ToHost(backend).value(), b_host = b.ToHost(backend).value(), c_host = c.ToHost(backend).value();
  for (std::int64_t i = 0; i < 50; ++i) {
    const std::int64_t row = i * 7919 % c.rows(), col = i * 104729 % c.cols();
    double sum = 0;
    for (std::int64_t k = 0; k < a.cols(); ++k) {
      sum += static_cast<double>(a_host[row * a.cols() + k]) *
             (transpose_b == Transpose::kNo ? b_host[k * b.cols() + col] : b_host[col * b.cols() + k]);
    }
    CheckResult(std::fabs(c_host[row * c.cols() + col] - sum) < 1e-3, "product");
  }
}

void MeasureMatMul(Bench& bench, std::int64_t rows, std::int64_t inner, std::int64_t cols) {
  Backend& backend = bench.backend();
  const DeviceMatrix<float> a = BenchMatrix(backend, rows, inner, 1), b = BenchMatrix(backend, inner, cols, 2);
  DeviceMatrix<float> c = BenchMatrix(backend, rows, cols, 3);
  const auto multiply = [&] {
    (void)backend.quant().MatMul(1, a.view(), Transpose::kNo, b.view(), Transpose::kNo, 0, c.view());
  };
  multiply();
  CheckSample(backend, a, b, Transpose::kNo, c);
  const double bytes = 4.0 * static_cast<double>(rows * inner + inner * cols + rows * cols);
  bench.Measure("MatMul " + std::to_string(rows) + "x" + std::to_string(inner) + "x" + std::to_string(cols),
                {2.0 * static_cast<double>(rows * inner * cols), bytes}, Roof::kFma, multiply);
}

void MeasureLinear(Bench& bench, std::int64_t tokens, std::int64_t inputs, std::int64_t outputs) {
  Backend& backend = bench.backend();
  const DeviceMatrix<float> x = BenchMatrix(backend, tokens, inputs, 1), w = BenchMatrix(backend, outputs, inputs, 2);
  DeviceMatrix<float> y = BenchMatrix(backend, tokens, outputs, 3);
  const auto view = [](const DeviceMatrix<float>& m) {
    return ConstTensorView(m.view().data, DType::kF32, m.rows(), m.cols(), m.cols());
  };
  const auto apply = [&] {
    (void)backend.forward().Linear(view(x), view(w), {},
                                   TensorView(y.view().data, DType::kF32, tokens, outputs, outputs));
  };
  apply();
  CheckSample(backend, x, w, Transpose::kYes, y);
  const double bytes = 4.0 * static_cast<double>(tokens * inputs + inputs * outputs + tokens * outputs);
  bench.Measure(
      "Linear " + std::to_string(tokens) + " tokens " + std::to_string(inputs) + "->" + std::to_string(outputs),
      {2.0 * static_cast<double>(tokens * inputs * outputs), bytes}, Roof::kFma, apply);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("matmul", argc, argv);
  gptvq::MeasureMatMul(bench, 192, 576, 576);
  gptvq::MeasureMatMul(bench, 576, 576, 576);
  gptvq::MeasureMatMul(bench, 1536, 576, 576);
  gptvq::MeasureMatMul(bench, 576, 1536, 1536);
  gptvq::MeasureMatMul(bench, 576, 128, 1408);
  gptvq::MeasureLinear(bench, 1024, 576, 192);
  gptvq::MeasureLinear(bench, 4096, 576, 576);
  gptvq::MeasureLinear(bench, 4096, 576, 1536);
  gptvq::MeasureLinear(bench, 4096, 1536, 576);
}
