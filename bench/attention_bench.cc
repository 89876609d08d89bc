// ForwardOps::CausalAttention: 16 heads-worth of q k^T and p v over the lower triangle, 2 T L d operations a head each.
#include <cmath>

#include "bench/bench_support.h"

namespace gptvq {
namespace {

void MeasureAttention(Bench& bench, std::int64_t sequences, const AttentionShape& shape) {
  Backend& backend = bench.backend();
  const std::int64_t tokens = sequences * shape.sequence_length;
  const std::int64_t q_cols = shape.head_count * shape.head_dim, kv_cols = shape.kv_head_count * shape.head_dim;
  const DeviceMatrix<float> q = BenchMatrix(backend, tokens, q_cols, 1), k = BenchMatrix(backend, tokens, kv_cols, 2);
  const DeviceMatrix<float> v = BenchMatrix(backend, tokens, kv_cols, 3);
  DeviceMatrix<float> out = BenchMatrix(backend, tokens, q_cols, 4);
  const auto view = [](const DeviceMatrix<float>& m) {
    return ConstTensorView(m.view().data, DType::kF32, m.rows(), m.cols(), m.cols());
  };
  const auto attend = [&] {
    (void)backend.forward().CausalAttention(view(q), view(k), view(v), shape,
                                            TensorView(out.view().data, DType::kF32, tokens, q_cols, q_cols));
  };
  attend();
  const auto out_host = out.ToHost(backend).value(), v_host = v.ToHost(backend).value();
  for (std::int64_t i = 0; i < shape.head_dim; ++i) {
    CheckResult(std::fabs(out_host[i] - v_host[i]) < 1e-5, "the first token sees itself alone");
  }
  const double pairs = static_cast<double>(tokens) * (static_cast<double>(shape.sequence_length) + 1) / 2;
  bench.Measure("CausalAttention " + std::to_string(sequences) + " x " + std::to_string(shape.sequence_length) +
                    " tokens, " + std::to_string(shape.head_count) + "/" + std::to_string(shape.kv_head_count) +
                    " heads",
                {4.0 * pairs * static_cast<double>(q_cols), 8.0 * static_cast<double>(tokens * (q_cols + kv_cols))},
                Roof::kSgemm, attend);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("attention", argc, argv);
  gptvq::AttentionShape shape = {
      .sequence_length = 1024, .head_count = 9, .kv_head_count = 3, .head_dim = 64, .score_scale = 0.125f};
  gptvq::MeasureAttention(bench, 2, shape);
  shape.sequence_length = 128;
  gptvq::MeasureAttention(bench, 16, shape);
}
