#ifndef GPTVQ_TESTS_CORE_QUANT_LAYER_CASE_H_
#define GPTVQ_TESTS_CORE_QUANT_LAYER_CASE_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "core/spec/quant_spec.h"
#include "tests/core/quant/dense_math.h"

namespace gptvq {

// A linear with the Hessian of its inputs.
struct LayerCase {
  Dense weights;
  Dense hessian;

  MatrixView<const float> View() const { return MatrixView<const float>(narrow.data(), weights.rows, weights.cols); }
  std::vector<float> narrow;  // the weights as the recipe gets them
};

// Normal weights of deviation 0.05 that are f32 numbers, and CorrelatedHessian of 4 * cols tokens.
LayerCase RandomLayer(std::int64_t rows, std::int64_t cols, std::uint64_t stream);

// Given weights and Hessian; rounds both to f32 first, so that both sides of a test see the same numbers.
LayerCase ALayer(Dense weights, Dense hessian);

// A small spec that keeps all parts of the recipe at work: stripes of 32 columns, 8 rows x 32 columns a group.
QuantSpec SmallSpec(int vector_dim, int index_bits);
// The same without anything after the sweep.
QuantSpec SweepOnly(QuantSpec spec);

std::unique_ptr<Backend> CpuForTests(int thread_count = 2);
PreparedHessian Prepare(Backend& backend, const LayerCase& layer, const QuantSpec& spec);
absl::StatusOr<LinearResult> Quantize(Backend& backend, const LayerCase& layer, const QuantSpec& spec,
                                      std::uint64_t seed = 1, std::string_view name = "layers.0.q_proj");

// W - Q of a result.
Dense ErrorOf(const LayerCase& layer, const LinearResult& result);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_QUANT_LAYER_CASE_H_
