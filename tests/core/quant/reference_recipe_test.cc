#include "core/quant/reference_recipe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"

namespace gptvq {
namespace {

// The column loop of the published code, restated in float64 from its description: U with H'^-1 = U^T U; blocks of 128
// columns; lookups with weights 1 / U_jj; err_j = (w_j - q_j) / U_jj coordinate by coordinate; with block scales lookups in
// the weights as they were when the block began. Follows the choices of the result, each of which must be the best one.
void ExpectReferenceLoop(const LayerCase& layer, const VectorQuantizedLinear& linear, const QuantSpec& spec) {
  const int d = spec.vector_dim;
  const std::int64_t rows = layer.weights.rows;
  const std::int64_t cols = layer.weights.cols;
  const Dense u = Transposed(LowerCholesky(Inverse(Damped(layer.hessian, spec.damping))));
  const std::vector<float> codebooks = linear.DecodedCodebooks();
  const std::vector<std::uint8_t> assignments = linear.Assignments();
  const std::int64_t entries = d << linear.index_bits;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<double> w(&layer.weights.values[r * cols], &layer.weights.values[r * cols] + cols);
    std::vector<double> stale = w;
    for (const Stripe& stripe : linear.layout.stripes()) {
      std::int64_t b = 0;
      while (linear.layout.RowBlockBegin(stripe, b + 1) <= r) ++b;
      const float* codebook = codebooks.data() + (stripe.first_group + b) * entries;
      for (std::int64_t c = stripe.column_begin; c < stripe.column_begin + stripe.column_count; c += d) {
        if ((c - stripe.column_begin) % 128 == 0) stale = w;
        const std::vector<double>& lookup = spec.block_scale_columns > 0 ? stale : w;
        double scale = 1;
        if (spec.block_scale_columns > 0) {
          const BlockScales& scales = linear.block_scales;
          const std::int64_t block = c / scales.block_columns;
          scale = std::exp2(scales.offsets[block] +
                            scales.steps[block] * scales.codes[r * scales.block_count(cols) + block]);
        }
        const auto distance = [&](int k) {
          double sum = 0;
          for (int j = 0; j < d; ++j) {
            const double difference = lookup[c + j] - scale * codebook[k * d + j];
            sum += difference * difference / u(c + j, c + j);
          }
          return sum;
        };
        double best = std::numeric_limits<double>::infinity();
        double largest = 0;
        for (int k = 0; k < spec.centroid_count(); ++k) {
          best = std::min(best, distance(k));
          largest = std::max(largest, distance(k));
        }
        const int k = assignments[(r * cols + c) / d];
        ASSERT_LE(distance(k), best + 1e-4 * largest) << "row " << r << ", column " << c;
        std::vector<double> err(d);
        for (int j = 0; j < d; ++j) err[j] = (w[c + j] - scale * codebook[k * d + j]) / u(c + j, c + j);
        for (std::int64_t later = c + d; later < cols; ++later) {
          for (int j = 0; j < d; ++j) w[later] -= err[j] * u(c + j, later);
        }
      }
    }
  }
}

QuantSpec ReferenceSpec(int vector_dim, int scale_columns) {
  QuantSpec spec = SmallSpec(vector_dim, vector_dim == 1 ? 2 : 4);
  spec.columns_per_group = 256;
  spec.group_weights = 2048;
  spec.block_scale_columns = scale_columns;
  spec.compatibility = Compatibility::kReference;
  spec.em_iterations = 20;
  return spec;
}

TEST(ReferenceRecipe, SweepsAsThePublishedLoop) {
  const auto backend = CpuForTests();
  for (int d : {1, 2, 4}) {
    for (int scale_columns : {0, 64}) {
      SCOPED_TRACE(testing::Message() << "d " << d << ", scale columns " << scale_columns);
      const LayerCase layer = RandomLayer(16, 320, 10 + d);  // stripes of 256 and 64: blocks of 128, 128 and 64
      QuantSpec spec = ReferenceSpec(d, scale_columns);
      spec.update_iterations = 0;

      const LinearResult result = Quantize(*backend, layer, spec).value();

      ExpectReferenceLoop(layer, std::get<VectorQuantizedLinear>(result.linear), spec);
      EXPECT_EQ(result.report.refinement_passes, 0);
      EXPECT_EQ(result.report.em_iterations, 20) << "EM does not stop early";
    }
  }
}

// Adam moves a codebook entry by about its rate a step, so 25 steps of 1e-3 stay within 0.03.
TEST(ReferenceRecipe, UpdatesCodebooksBy25SmallSteps) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(16, 256, 20);
  QuantSpec spec = ReferenceSpec(2, 0);
  spec.codebook_dtype = CodebookDType::kFp16;

  const LinearResult updated = Quantize(*backend, layer, spec).value();
  spec.update_iterations = 0;
  const LinearResult swept = Quantize(*backend, layer, spec).value();

  const auto& before = std::get<VectorQuantizedLinear>(swept.linear);
  const auto& after = std::get<VectorQuantizedLinear>(updated.linear);
  EXPECT_EQ(updated.report.update_iterations, 25);
  EXPECT_EQ(after.packed_indices, before.packed_indices);
  const std::vector<float> old_entries = before.DecodedCodebooks();
  const std::vector<float> new_entries = after.DecodedCodebooks();
  double largest = 0;
  for (std::size_t i = 0; i < old_entries.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(new_entries[i]) - old_entries[i]));
  }
  EXPECT_GT(largest, 1e-3);
  EXPECT_LT(largest, 0.03);
  EXPECT_LT(updated.report.relative_error, swept.report.relative_error);
}

}  // namespace
}  // namespace gptvq
