// The operations that touch every element a few times: norms, rotary embedding, SwiGLU, sums, and the streamed log-sum-exp.
#include <cmath>

#include "bench/bench_support.h"

namespace gptvq {
namespace {

TensorView Tensor(DeviceMatrix<float>& m) {
  return TensorView(m.view().data, DType::kF32, m.rows(), m.cols(), m.cols());
}

void MeasureForward(Bench& bench, std::int64_t tokens) {
  Backend& backend = bench.backend();
  ForwardOps& ops = backend.forward();
  DeviceMatrix<float> x = BenchMatrix(backend, tokens, 576, 1), y = BenchMatrix(backend, tokens, 576, 2);
  DeviceMatrix<float> gate = BenchMatrix(backend, tokens, 1536, 3), up = BenchMatrix(backend, tokens, 1536, 4);
  DeviceMatrix<float> out = BenchMatrix(backend, tokens, 1536, 5);
  const DeviceMatrix<float> weight = BenchMatrix(backend, 1, 576, 6), cosines = BenchMatrix(backend, tokens, 32, 7);
  const double hidden = static_cast<double>(tokens * 576), inner = static_cast<double>(tokens * 1536);

  CheckResult(ops.SwiGlu(Tensor(gate), Tensor(up), Tensor(out)).ok(), "SwiGlu");
  const float g = gate.ToHost(backend).value()[5], u = up.ToHost(backend).value()[5];
  CheckResult(std::fabs(out.ToHost(backend).value()[5] - g / (1 + std::exp(-g)) * u) < 1e-5, "silu(g) u");
  bench.Measure("RmsNorm", {4 * hidden, 8 * hidden}, Roof::kTriad,
                [&] { (void)ops.RmsNorm(Tensor(x), weight.view(), 1e-5, Tensor(y)); });
  bench.Measure("ApplyRotary", {3 * hidden, 8 * hidden}, Roof::kTriad,
                [&] { (void)ops.ApplyRotary(Tensor(x), 9, cosines.view(), cosines.view()); });
  bench.Measure("SwiGlu", {4 * inner, 12 * inner}, Roof::kTriad,
                [&] { (void)ops.SwiGlu(Tensor(gate), Tensor(up), Tensor(out)); });
  bench.Measure("AddInPlace", {hidden, 12 * hidden}, Roof::kTriad, [&] { (void)ops.AddInPlace(Tensor(x), Tensor(y)); });
}

void MeasureQuant(Bench& bench) {
  Backend& backend = bench.backend();
  QuantOps& ops = backend.quant();
  const std::int64_t rows = 576, cols = 1536;
  const DeviceMatrix<float> a = BenchMatrix(backend, rows, cols, 1);
  DeviceMatrix<float> b = BenchMatrix(backend, rows, cols, 2), maxima = BenchMatrix(backend, rows, cols / 64, 3);
  DeviceMatrix<float> h = BenchMatrix(backend, cols, cols, 4);
  std::vector<double> dots(rows);
  const double size = static_cast<double>(rows * cols);
  bench.Measure("RowDots", {2 * size, 8 * size}, Roof::kTriad,
                [&] { (void)ops.RowDots(a.view(), b.view(), absl::MakeSpan(dots)); });
  CheckResult(std::isfinite(dots[0]), "dots");
  bench.Measure("BlockAbsMax", {size, 4 * size}, Roof::kTriad,
                [&] { (void)ops.BlockAbsMax(a.view(), 64, maxima.view()); });
  bench.Measure("Axpby", {2 * size, 12 * size}, Roof::kTriad, [&] { (void)ops.Axpby(1, a.view(), -1, b.view()); });
  bench.Measure("Symmetrize 1536", {0, 4.0 * cols * cols}, Roof::kTriad, [&] { (void)ops.Symmetrize(h.view()); });
}

void MeasureLogSumExp(Bench& bench, std::int64_t tokens, std::int64_t vocabulary) {
  Backend& backend = bench.backend();
  DeviceMatrix<float> hidden = BenchMatrix(backend, tokens, 576, 1),
                      head = BenchMatrix(backend, vocabulary, 576, 2, 0.05);
  DeviceMatrix<float> max = BenchMatrix(backend, tokens, 1, 3),
                      sum = DeviceMatrix<float>::Zeros(backend, tokens, 1).value();
  DeviceMatrix<float> target = DeviceMatrix<float>::Zeros(backend, tokens, 1).value();
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(tokens), 1);
  const auto accumulate = [&] {
    (void)backend.forward().AccumulateLogSumExp(Tensor(hidden), Tensor(head), 0, targets,
                                                {max.view(), sum.view(), target.view()});
  };
  accumulate();
  CheckResult(sum.ToHost(backend).value()[0] > 1, "sum of exponentials");
  bench.Measure(
      "AccumulateLogSumExp " + std::to_string(tokens) + "x576x" + std::to_string(vocabulary),
      {2.0 * static_cast<double>(tokens * vocabulary * 576), 4.0 * static_cast<double>((tokens + vocabulary) * 576)},
      Roof::kSgemm, accumulate);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("row_ops", argc, argv);
  gptvq::MeasureForward(bench, 1024);
  gptvq::MeasureQuant(bench);
  gptvq::MeasureLogSumExp(bench, 1024, 4096);
}
