#include "core/quant/codebook_update.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

// A linear with random assignments and codebooks, and its residual.
struct UpdateCase {
  explicit UpdateCase(const LayerCase& layer, const QuantSpec& spec)
      : layer(layer), spec(spec), backend(CpuForTests()), hessian(Prepare(*backend, layer, spec)) {
    const std::int64_t rows = layer.weights.rows;
    const std::int64_t cols = layer.weights.cols;
    TestRandom random(99);
    state = VectorState::Make(*backend,
                              DeviceMatrix<float>::FromHost(*backend, layer.narrow.data(), rows, cols).value(), spec)
                .value();
    const auto assignments = random.Bytes(rows * cols / spec.vector_dim, spec.centroid_count());
    state.assignments =
        DeviceMatrix<std::uint8_t>::FromHost(*backend, assignments.data(), rows, cols / spec.vector_dim).value();
    state.values = random.Normals(static_cast<std::int64_t>(state.values.size()), 0.05);
    EXPECT_TRUE(state.RoundCodebooks(*backend, 0, state.layout.group_count()).ok());
    residual = Residual::Allocate(*backend, rows, cols).value();
    scratch = Residual::Allocate(*backend, rows, cols).value();
    EXPECT_TRUE(residual.Recompute(*backend, hessian, state).ok());
  }

  Dense damped() const { return Damped(layer.hessian, spec.damping); }

  // The decoded weights for codebooks `values`, from the layout alone.
  Dense Decode(const std::vector<double>& values) {
    const std::vector<std::uint8_t> assignments = state.assignments.ToHost(*backend).value();
    const int d = spec.vector_dim;
    Dense q(layer.weights.rows, layer.weights.cols);
    for (const Stripe& stripe : state.layout.stripes()) {
      for (std::int64_t b = 0; b < stripe.row_block_count; ++b) {
        for (std::int64_t r = state.layout.RowBlockBegin(stripe, b); r < state.layout.RowBlockBegin(stripe, b + 1);
             ++r) {
          for (std::int64_t c = stripe.column_begin; c < stripe.column_begin + stripe.column_count; ++c) {
            const std::int64_t k = assignments[(r * q.cols + c) / d];
            q(r, c) = values[((stripe.first_group + b) << spec.index_bits) * d + k * d + c % d];
          }
        }
      }
    }
    return q;
  }

  double LossOf(const std::vector<double>& values) {
    return QuadraticLoss(Difference(layer.weights, Decode(values)), damped());
  }
  double Loss() { return LossOf(std::vector<double>(state.values.begin(), state.values.end())); }

  // The minimiser over all codebooks from the dense normal equations, unit vector by unit vector.
  std::vector<double> LeastSquares() {
    const auto n = static_cast<std::int64_t>(state.values.size());
    const Dense h = damped();
    const Dense target = Product(layer.weights, h);
    std::vector<Dense> columns;
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<double> unit(n, 0);
      unit[i] = 1;
      columns.push_back(Decode(unit));
    }
    Dense normal(n, n);
    Dense right(n, 1);
    for (std::int64_t i = 0; i < n; ++i) {
      const Dense product = Product(columns[i], h);
      for (std::size_t e = 0; e < product.values.size(); ++e) right(i, 0) += columns[i].values[e] * target.values[e];
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::size_t e = 0; e < product.values.size(); ++e)
          normal(i, j) += columns[j].values[e] * product.values[e];
      }
    }
    for (std::int64_t i = 0; i < n; ++i) normal(i, i) += 1e-9 * (normal(i, i) + 1);  // centroids that nothing uses
    return Product(Inverse(normal), right).values;
  }

  LayerCase layer;
  QuantSpec spec;
  std::unique_ptr<Backend> backend;
  PreparedHessian hessian;
  VectorState state;
  Residual residual;
  Residual scratch;
};

QuantSpec TinySpec(int vector_dim) {
  QuantSpec spec = SmallSpec(vector_dim, 2);
  spec.group_weights = 64;
  spec.columns_per_group = 16;
  return spec;
}

TEST(SolveNormalEquations, ReachesTheLeastSquaresMinimiser) {
  for (int d : {1, 2, 4}) {
    UpdateCase test(RandomLayer(12, 40, 50 + d), TinySpec(d));  // stripes of 16, 16 and 8 columns, ragged groups
    const double minimum = test.LossOf(test.LeastSquares());
    ASSERT_LT(minimum, 0.9 * test.Loss()) << "the case leaves something to gain";

    const UpdateStep step =
        SolveNormalEquations(*test.backend, test.hessian, test.state, test.residual, 500, 1e-12, test.scratch).value();

    std::vector<double> values(test.state.values.begin(), test.state.values.end());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += step.delta[i];
    EXPECT_TRUE(CloseNumber(test.LossOf(values), minimum, {1e-4, "f32 products in conjugate gradient"})) << "d " << d;
    EXPECT_LT(step.iterations, 200) << "conjugate gradient ends after about as many steps as unknowns";
  }
}

TEST(SolveNormalEquations, EveryFurtherIterationLowersTheLoss) {
  UpdateCase test(RandomLayer(16, 48, 60), TinySpec(2));
  double previous = test.Loss();
  for (int iterations = 1; iterations <= 6; ++iterations) {
    const UpdateStep step =
        SolveNormalEquations(*test.backend, test.hessian, test.state, test.residual, iterations, 0, test.scratch)
            .value();
    std::vector<double> values(test.state.values.begin(), test.state.values.end());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += step.delta[i];
    EXPECT_EQ(step.iterations, iterations);
    EXPECT_LT(test.LossOf(values), previous);
    previous = test.LossOf(values);
  }
}

TEST(UpdateCodebooks, LowersTheLossOfWhatIsStoredAndKeepsTheResidualCurrent) {
  for (CodebookDType dtype : {CodebookDType::kInt8, CodebookDType::kFp16}) {
    QuantSpec spec = TinySpec(2);
    spec.codebook_dtype = dtype;
    UpdateCase test(RandomLayer(24, 48, 70), spec);
    const double before = test.Loss();

    ASSERT_TRUE(UpdateCodebooks(*test.backend, test.hessian, 10, 1e-4, test.state, test.residual, test.scratch).ok());

    EXPECT_LT(test.Loss(), 0.95 * before);
    EXPECT_TRUE(CloseNumber(test.residual.Loss(), test.Loss(), {1e-4, "f32 products"}));
    EXPECT_EQ(test.state.codebooks.ToHost(*test.backend).value(), test.state.values);
    VectorQuantizedLinear linear;
    linear.layout = test.state.layout;
    linear.vector_dim = 2;
    linear.index_bits = 2;
    linear.codebooks = test.state.stored;
    EXPECT_EQ(linear.DecodedCodebooks(), test.state.values) << "what is stored is what was accepted";
  }
}

// Where rounding to int8 eats up the gain, the old codebooks stay: range by range of rows, and to the bit.
TEST(UpdateCodebooks, NeverRaisesTheLossOfAnIndependentRangeOfRows) {
  UpdateCase test(RandomLayer(64, 32, 80), TinySpec(1));
  const std::vector<std::int64_t> begins = IndependentRowRanges(test.state.layout);
  ASSERT_EQ(begins.size(), 16u);
  int kept = 0;
  for (int round = 0; round < 8; ++round) {
    const std::vector<double> before = test.residual.row_losses;
    const std::vector<float> values_before = test.state.values;
    ASSERT_TRUE(UpdateCodebooks(*test.backend, test.hessian, 3, 0, test.state, test.residual, test.scratch).ok());
    for (std::size_t i = 0; i < begins.size(); ++i) {
      const std::int64_t end = i + 1 < begins.size() ? begins[i + 1] : 64;
      double old_loss = 0;
      double new_loss = 0;
      for (std::int64_t r = begins[i]; r < end; ++r) old_loss += before[r], new_loss += test.residual.row_losses[r];
      EXPECT_LE(new_loss, old_loss);
      kept += new_loss == old_loss;
    }
    if (kept == 0) continue;
    EXPECT_EQ(test.state.codebooks.ToHost(*test.backend).value(), test.state.values);
  }
  EXPECT_GT(kept, 0) << "the case has ranges that end at their optimum";
  EXPECT_TRUE(CloseNumber(test.residual.Loss(), test.Loss(), {1e-4, "f32 products"}));
}

TEST(IndependentRowRanges, AreTheRowBlocksWhereAllStripesShareThem) {
  const GroupLayout layout = GroupLayout::Make(32, 64, SmallSpec(2, 4)).value();

  EXPECT_EQ(IndependentRowRanges(layout), (std::vector<std::int64_t>{0, 8, 16, 24}));
}

TEST(IndependentRowRanges, JoinWhatARaggedStripeCouples) {
  // 8 rows a block in full stripes of 32 columns; the last 16 columns have blocks of 16 rows.
  const GroupLayout halves = GroupLayout::Make(32, 80, SmallSpec(2, 4)).value();
  EXPECT_EQ(IndependentRowRanges(halves), (std::vector<std::int64_t>{0, 16}));

  // The last 4 columns have one block: all rows are coupled.
  const GroupLayout all = GroupLayout::Make(32, 68, SmallSpec(2, 4)).value();
  EXPECT_EQ(IndependentRowRanges(all), (std::vector<std::int64_t>{0}));
}

}  // namespace
}  // namespace gptvq
