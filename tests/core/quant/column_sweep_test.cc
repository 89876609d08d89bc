#include "core/quant/column_sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

constexpr Bound kLossBound = {1e-4, "f32 sweep against f64: targets are sums of up to 100 products"};

// Everything the sweep leaves behind, in host memory.
struct Swept {
  SweepStatistics statistics;
  std::vector<float> codebooks;  // [G, K d]
  std::vector<std::uint8_t> assignments;
  BlockScales block_scales;
  GroupLayout layout;
};

Swept Sweep(Backend& backend, const LayerCase& layer, const QuantSpec& spec) {
  const PreparedHessian hessian = Prepare(backend, layer, spec);
  auto device = DeviceMatrix<float>::FromHost(backend, layer.narrow.data(), layer.weights.rows, layer.weights.cols);
  VectorState state = VectorState::Make(backend, std::move(device).value(), spec).value();
  Residual scratch = Residual::Allocate(backend, layer.weights.rows, layer.weights.cols).value();
  PhaseTimer timer(nullptr);
  PhaseSeconds seconds;
  Swept swept;
  swept.statistics = SweepAllColumns(backend, hessian, EmOptions(), state, scratch, timer, seconds).value();
  swept.codebooks = state.values;
  swept.assignments = state.assignments.ToHost(backend).value();
  swept.block_scales = state.block_scales;
  swept.layout = state.layout;
  return swept;
}

double ScaleOf(const Swept& swept, std::int64_t r, std::int64_t c) {
  const BlockScales& scales = swept.block_scales;
  if (scales.block_columns == 0) return 1;
  const std::int64_t block = c / scales.block_columns;
  return std::exp2(scales.offsets[block] +
                   scales.steps[block] * scales.codes[r * scales.block_count(swept.layout.cols()) + block]);
}

std::int64_t GroupOf(const GroupLayout& layout, std::int64_t r, std::int64_t c) {
  for (const Stripe& stripe : layout.stripes()) {
    if (c >= stripe.column_begin + stripe.column_count) continue;
    std::int64_t b = 0;
    while (layout.RowBlockBegin(stripe, b + 1) <= r) ++b;
    return stripe.first_group + b;
  }
  return -1;
}

// The dequantized vector of row r at columns c .. c + d - 1 with centroid k.
std::vector<double> VectorOf(const Swept& swept, const QuantSpec& spec, std::int64_t r, std::int64_t c, int k) {
  const std::int64_t entries = spec.vector_dim << spec.index_bits;
  const float* codebook = swept.codebooks.data() + GroupOf(swept.layout, r, c) * entries;
  std::vector<double> q(spec.vector_dim);
  for (int j = 0; j < spec.vector_dim; ++j) q[j] = ScaleOf(swept, r, c) * codebook[k * spec.vector_dim + j];
  return q;
}

Dense Decoded(const Swept& swept, const QuantSpec& spec) {
  Dense q(swept.layout.rows(), swept.layout.cols());
  for (std::int64_t r = 0; r < q.rows; ++r) {
    for (std::int64_t c = 0; c < q.cols; c += spec.vector_dim) {
      const int k = swept.assignments[(r * q.cols + c) / spec.vector_dim];
      const std::vector<double> vector = VectorOf(swept, spec, r, c, k);
      std::copy(vector.begin(), vector.end(), &q(r, c));
    }
  }
  return q;
}

// The GPTQ recursion in its usual form, with U upper triangular, H'^-1 = U^T U, and the exact d x d solve
// err U_PP = e: follows the choices of the sweep and checks each against the best one at its moment.
// Returns the sum of |err|^2.
double FollowInverseForm(const LayerCase& layer, const Swept& swept, const QuantSpec& spec) {
  const int d = spec.vector_dim;
  const std::int64_t cols = layer.weights.cols;
  const Dense u = Transposed(LowerCholesky(Inverse(Damped(layer.hessian, spec.damping))));
  double loss = 0;
  for (std::int64_t r = 0; r < layer.weights.rows; ++r) {
    std::vector<double> w(&layer.weights.values[r * cols], &layer.weights.values[r * cols] + cols);
    for (std::int64_t c = 0; c < cols; c += d) {
      const auto error_of = [&](int k) {
        std::vector<double> err = VectorOf(swept, spec, r, c, k);
        for (int j = 0; j < d; ++j) {  // forward substitution
          err[j] = w[c + j] - err[j];
          for (int i = 0; i < j; ++i) err[j] -= err[i] * u(c + i, c + j);
          err[j] /= u(c + j, c + j);
        }
        return err;
      };
      const auto cost = [](const std::vector<double>& err) {
        double sum = 0;
        for (double e : err) sum += e * e;
        return sum;
      };
      double best = std::numeric_limits<double>::infinity();
      double size = 0;
      for (int k = 0; k < spec.centroid_count(); ++k) {
        best = std::min(best, cost(error_of(k)));
        size = std::max(size, cost(error_of(k)));
      }
      const std::vector<double> err = error_of(swept.assignments[(r * cols + c) / d]);
      EXPECT_LE(cost(err), best + 1e-4 * size) << "row " << r << ", column " << c;
      loss += cost(err);
      for (std::int64_t later = c + d; later < cols; ++later) {
        for (int j = 0; j < d; ++j) w[later] -= err[j] * u(c + j, later);
      }
    }
  }
  return loss;
}

TEST(SweepAllColumns, ChoosesAsTheInverseFactorFormAndItsErrorsAddUpToTheLoss) {
  const auto backend = CpuForTests();
  for (int d : {1, 2, 4}) {
    for (int scale_columns : {0, 16}) {
      SCOPED_TRACE(testing::Message() << "d " << d << ", scale columns " << scale_columns);
      const LayerCase layer = RandomLayer(20, 100, 10 + d);  // stripes of 32, 32, 32 and 4 columns
      QuantSpec spec = SweepOnly(SmallSpec(d, d == 1 ? 2 : 4));
      spec.block_scale_columns = scale_columns;

      const Swept swept = Sweep(*backend, layer, spec);

      const double accumulated = FollowInverseForm(layer, swept, spec);
      const Dense error = Difference(layer.weights, Decoded(swept, spec));
      const double loss = QuadraticLoss(error, Damped(layer.hessian, spec.damping));
      EXPECT_TRUE(CloseNumber(accumulated, loss, kLossBound));            // identity (3), inverse form
      EXPECT_TRUE(CloseNumber(swept.statistics.loss, loss, kLossBound));  // identity (3), block LDL form
    }
  }
}

TEST(SweepAllColumns, CrossesBlocksOf128Columns) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(9, 300, 20);
  QuantSpec spec = SweepOnly(SmallSpec(2, 4));
  spec.columns_per_group = 256;
  spec.group_weights = 1024;

  const Swept swept = Sweep(*backend, layer, spec);

  const Dense error = Difference(layer.weights, Decoded(swept, spec));
  const double loss = QuadraticLoss(error, Damped(layer.hessian, spec.damping));
  EXPECT_TRUE(CloseNumber(FollowInverseForm(layer, swept, spec), loss, kLossBound));
  EXPECT_TRUE(CloseNumber(swept.statistics.loss, loss, kLossBound));
}

// Without correlations there is nothing to feed back: every vector goes to its nearest centroid in the metric of H.
TEST(SweepAllColumns, DiagonalHessianEqualsPlainRounding) {
  const auto backend = CpuForTests();
  Dense diagonal(64, 64);
  for (std::int64_t j = 0; j < 64; ++j) diagonal(j, j) = 1.0 + static_cast<double>(j % 5);
  const LayerCase layer = ALayer(RandomLayer(16, 64, 30).weights, diagonal);
  const QuantSpec spec = SweepOnly(SmallSpec(2, 4));

  const Swept swept = Sweep(*backend, layer, spec);

  const Dense damped = Damped(diagonal, spec.damping);
  for (std::int64_t r = 0; r < 16; ++r) {
    for (std::int64_t c = 0; c < 64; c += 2) {
      const auto distance = [&](int k) {
        const std::vector<double> q = VectorOf(swept, spec, r, c, k);
        double sum = 0;
        for (int j = 0; j < 2; ++j)
          sum += damped(c + j, c + j) * (layer.weights(r, c + j) - q[j]) * (layer.weights(r, c + j) - q[j]);
        return sum;
      };
      double best = std::numeric_limits<double>::infinity();
      for (int k = 0; k < 16; ++k) best = std::min(best, distance(k));
      EXPECT_LE(distance(swept.assignments[r * 32 + c / 2]), best + 1e-6);
    }
  }
}

TEST(SweepAllColumns, OwnCentroidForEveryWeightLeavesAlmostNoError) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(4, 64, 40);
  QuantSpec spec = SweepOnly(SmallSpec(1, 8));
  spec.group_weights = 32;  // one row of 32 columns for 256 centroids
  spec.codebook_dtype = CodebookDType::kFp16;

  const Swept swept = Sweep(*backend, layer, spec);

  // Half precision rounds a centroid by 2^-11 of it at most; the feedback of such errors adds to others.
  const Dense error = Difference(layer.weights, Decoded(swept, spec));
  const auto larger = [](double a, double b) { return std::abs(a) < std::abs(b); };
  const double largest = std::abs(*std::max_element(layer.weights.values.begin(), layer.weights.values.end(), larger));
  for (double e : error.values) EXPECT_LE(std::abs(e), 0x1p-10 * largest);
}

}  // namespace
}  // namespace gptvq
