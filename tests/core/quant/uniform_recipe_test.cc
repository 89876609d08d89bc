#include "core/quant/uniform_recipe.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

QuantSpec UniformSpec(QuantMethod method, int bits, int group_columns) {
  QuantSpec spec;
  spec.method = method;
  spec.uniform_bits = bits;
  spec.uniform_group_columns = group_columns;
  return spec;
}

// GPTQ as the paper has it (arXiv 2210.17323, algorithm 1), one row at a time in float64: errors divided by U_jj and
// spread by rows of U, H'^-1 = U^T U. Grids are those of the result under test, as a grid depends on rounded targets;
// each must be the min/max grid of its targets up to one step of half precision. Follows the codes of the result where
// the target lies within `kTie` of the middle between two codes.
void ExpectGptq(const Dense& weights, const Dense& damped, const UniformQuantizedLinear& linear,
                const std::vector<std::int64_t>& order) {
  constexpr double kTie = 1e-3;
  const std::int64_t cols = weights.cols;
  Dense h(cols, cols);
  for (std::int64_t i = 0; i < cols; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) h(i, j) = damped(order[i], order[j]);
  }
  const Dense u = Transposed(LowerCholesky(Inverse(h)));
  const double max_code = (1 << linear.bits) - 1;
  for (std::int64_t r = 0; r < weights.rows; ++r) {
    std::vector<double> w(cols);
    for (std::int64_t i = 0; i < cols; ++i) w[i] = weights(r, order[i]);
    for (std::int64_t i = 0; i < cols; ++i) {
      const std::int64_t group = r * linear.groups_per_row() + i / linear.group_columns;
      const double scale = HalfToFloat(linear.scales[group]);
      const double zero = linear.zero_points[group];
      if (i % linear.group_columns == 0) {
        const auto end = w.begin() + std::min<std::int64_t>(cols, i + linear.group_columns);
        const double low = std::min(0.0, *std::min_element(w.begin() + i, end));
        const double high = std::max(0.0, *std::max_element(w.begin() + i, end));
        EXPECT_NEAR(scale, (high - low) / max_code, 2e-3 * scale);
        EXPECT_NEAR(zero, -low / scale, 0.51);
      }
      const double exact = std::clamp(w[i] / scale + zero, 0.0, max_code);
      const double code = linear.codes[r * cols + i];
      EXPECT_LE(std::abs(code - exact), 0.5 + kTie) << "row " << r << ", position " << i;
      const double err = (w[i] - scale * (code - zero)) / u(i, i);
      for (std::int64_t j = i; j < cols; ++j) w[j] -= err * u(i, j);
    }
  }
}

TEST(UniformRecipe, GptqFollowsThePublishedRecursion) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(12, 200, 1);
  for (int group_columns : {64, 128}) {
    const QuantSpec spec = UniformSpec(QuantMethod::kGptq, 3, group_columns);
    const LinearResult result = Quantize(*backend, layer, spec).value();

    std::vector<std::int64_t> natural(200);
    for (std::int64_t i = 0; i < 200; ++i) natural[i] = i;
    ExpectGptq(layer.weights, Damped(layer.hessian, spec.damping), std::get<UniformQuantizedLinear>(result.linear),
               natural);
  }
}

TEST(UniformRecipe, ActOrderIsGptqOnColumnsSortedByTheirDiagonal) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(12, 200, 2);
  QuantSpec spec = UniformSpec(QuantMethod::kGptq, 3, 64);
  spec.act_order = true;

  const LinearResult result = Quantize(*backend, layer, spec).value();

  const auto& linear = std::get<UniformQuantizedLinear>(result.linear);
  const std::vector<std::int64_t> order(linear.permutation.begin(), linear.permutation.end());
  ExpectGptq(layer.weights, Damped(layer.hessian, spec.damping), linear, order);
  EXPECT_TRUE(
      CloseNumber(result.report.relative_error,
                  QuadraticLoss(ErrorOf(layer, result), layer.hessian) / QuadraticLoss(layer.weights, layer.hessian),
                  {2e-3, "f32 loss with H' minus its damped part"}));
}

TEST(UniformRecipe, RoundToNearestIgnoresTheHessian) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(8, 150, 3);
  const LayerCase other = ALayer(layer.weights, CorrelatedHessian(150, 300, 77));
  const QuantSpec spec = UniformSpec(QuantMethod::kRtn, 4, 64);

  const LinearResult result = Quantize(*backend, layer, spec).value();

  EXPECT_EQ(Quantize(*backend, other, spec)->Dequantized(), result.Dequantized());
  const auto& linear = std::get<UniformQuantizedLinear>(result.linear);
  for (std::int64_t r = 0; r < 8; ++r) {
    for (std::int64_t c = 0; c < 150; ++c) {
      const float scale = HalfToFloat(linear.scales[r * 3 + c / 64]);
      EXPECT_LE(std::abs(layer.weights(r, c) - result.Dequantized()[r * 150 + c]), 0.51f * scale);
    }
  }
}

TEST(UniformRecipe, FeedbackLowersTheErrorBelowRounding) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(32, 256, 4);

  const double rtn = Quantize(*backend, layer, UniformSpec(QuantMethod::kRtn, 3, 128))->report.relative_error;
  const double gptq = Quantize(*backend, layer, UniformSpec(QuantMethod::kGptq, 3, 128))->report.relative_error;

  EXPECT_LT(gptq, 0.7 * rtn);
}

}  // namespace
}  // namespace gptvq
