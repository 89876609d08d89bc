#include "tests/core/quant/layer_case.h"

#include <utility>

#include "core/cpu/cpu_backend.h"
#include "tests/support/test_random.h"

namespace gptvq {

LayerCase ALayer(Dense weights, Dense hessian) {
  LayerCase layer;
  layer.narrow = Narrowed(weights);
  layer.weights = Dense(weights.rows, weights.cols, layer.narrow);
  layer.hessian = Dense(hessian.rows, hessian.cols, Narrowed(hessian));
  return layer;
}

LayerCase RandomLayer(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Dense weights(rows, cols, TestRandom(stream).Normals(rows * cols, 0.05));
  return ALayer(std::move(weights), CorrelatedHessian(cols, 4 * cols, stream + 1));
}

QuantSpec SmallSpec(int vector_dim, int index_bits) {
  QuantSpec spec;
  spec.vector_dim = vector_dim;
  spec.index_bits = index_bits;
  spec.group_weights = 256;
  spec.columns_per_group = 32;
  return spec;
}

QuantSpec SweepOnly(QuantSpec spec) {
  spec.update_iterations = 0;
  spec.refinement_passes = 0;
  return spec;
}

std::unique_ptr<Backend> CpuForTests(int thread_count) { return MakeCpuBackend({.thread_count = thread_count}); }

PreparedHessian Prepare(Backend& backend, const LayerCase& layer, const QuantSpec& spec) {
  const std::vector<float> values = Narrowed(layer.hessian);
  const std::int64_t cols = layer.hessian.cols;
  Hessian hessian = HessianFromHost(backend, MatrixView<const float>(values.data(), cols, cols)).value();
  return PreparedHessian::Make(backend, std::move(hessian), spec, nullptr).value();
}

absl::StatusOr<LinearResult> Quantize(Backend& backend, const LayerCase& layer, const QuantSpec& spec,
                                      std::uint64_t seed, std::string_view name) {
  return QuantizeLinear(backend, name, layer.View(), Prepare(backend, layer, spec), spec, seed, nullptr);
}

Dense ErrorOf(const LayerCase& layer, const LinearResult& result) {
  return Difference(layer.weights, Dense(layer.weights.rows, layer.weights.cols, result.Dequantized()));
}

}  // namespace gptvq
