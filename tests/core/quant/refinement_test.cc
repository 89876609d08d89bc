#include "core/quant/refinement.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

// A linear with random assignments to random codebooks.
struct RefineCase {
  RefineCase(const LayerCase& layer, const QuantSpec& spec)
      : layer(layer), spec(spec), backend(CpuForTests()), hessian(Prepare(*backend, layer, spec)) {
    TestRandom random(7);
    const std::int64_t rows = layer.weights.rows;
    const std::int64_t cols = layer.weights.cols;
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

  // tr(E H' E^T) of what the state decodes to.
  double Loss() {
    auto q = DeviceMatrix<float>::Allocate(*backend, layer.weights.rows, layer.weights.cols).value();
    EXPECT_TRUE(backend->quant()
                    .DecodeVectors(state.code(), std::as_const(state.codebooks).view(),
                                   std::as_const(state.assignments).view(), q.view())
                    .ok());
    const Dense decoded(layer.weights.rows, layer.weights.cols, q.ToHost(*backend).value());
    return QuadraticLoss(Difference(layer.weights, decoded), Damped(layer.hessian, spec.damping));
  }

  // The error, the gradient and the row losses are those of the state.
  void ExpectResidualIsCurrent() {
    Residual fresh = Residual::Allocate(*backend, layer.weights.rows, layer.weights.cols).value();
    ASSERT_TRUE(fresh.Recompute(*backend, hessian, state).ok());
    const auto widened = [&](const DeviceMatrix<float>& m) {
      const std::vector<float> values = m.ToHost(*backend).value();
      return std::vector<double>(values.begin(), values.end());
    };
    const Bound bound = {1e-4, "sums of a few hundred f32 changes"};
    EXPECT_TRUE(Close(residual.error.ToHost(*backend).value(), widened(fresh.error), bound));
    EXPECT_TRUE(Close(residual.gradient.ToHost(*backend).value(), widened(fresh.gradient), bound));
    EXPECT_TRUE(CloseNumber(residual.Loss(), fresh.Loss(), bound));
  }

  std::int64_t Pass(const ReassignOptions& options) {
    return ReassignVectors(*backend, hessian, options, state, residual, scratch).value();
  }

  LayerCase layer;
  QuantSpec spec;
  std::unique_ptr<Backend> backend;
  PreparedHessian hessian;
  VectorState state;
  Residual residual;
  Residual scratch;
};

TEST(ReassignVectors, LowersTheLossPassByPassUntilNothingChanges) {
  for (int d : {1, 2, 4}) {
    for (int sweeps : {1, 3}) {
      RefineCase test(RandomLayer(12, 600, 20 + d), SmallSpec(d, 3));  // four blocks of 128 columns and one of 88
      ReassignOptions options;
      options.sweeps_per_block = sweeps;
      double loss = test.Loss();
      std::int64_t changed = 1;
      for (int pass = 0; pass < 200 && changed > 0; ++pass) {
        changed = test.Pass(options);
        const double next = test.Loss();
        EXPECT_LE(next, loss * (1 + 1e-6)) << "d " << d << ", pass " << pass;
        loss = next;
      }
      EXPECT_EQ(changed, 0) << "coordinate descent comes to rest";
      test.ExpectResidualIsCurrent();
    }
  }
}

// At rest, no single vector can be exchanged for another one with profit: checked by trying all of them in f64.
TEST(ReassignVectors, RestsInAMinimumOfEverySingleVector) {
  RefineCase test(RandomLayer(4, 40, 30), SmallSpec(2, 3));
  for (int pass = 0; pass < 200 && test.Pass({}) > 0; ++pass) continue;
  std::vector<std::uint8_t> assignments = test.state.assignments.ToHost(*test.backend).value();
  const double rest = test.Loss();

  for (std::size_t n = 0; n < assignments.size(); ++n) {
    const std::uint8_t present = assignments[n];
    for (std::uint8_t k = 0; k < 8; ++k) {
      assignments[n] = k;
      test.state.assignments = DeviceMatrix<std::uint8_t>::FromHost(*test.backend, assignments.data(), 4, 20).value();
      EXPECT_GE(test.Loss(), rest * (1 - 1e-6)) << "vector " << n << ", centroid " << int{k};
    }
    assignments[n] = present;
  }
}

TEST(ReassignVectors, NoiseGetsOutOfTheMinimumAndTheResidualFollows) {
  RefineCase test(RandomLayer(16, 160, 40), SmallSpec(2, 4));
  for (int pass = 0; pass < 200 && test.Pass({}) > 0; ++pass) continue;
  const std::vector<std::uint8_t> at_rest = test.state.assignments.ToHost(*test.backend).value();
  ReassignOptions noisy;
  noisy.noise = 0.1 * test.residual.Loss() / (16 * 160);
  noisy.noise_key = 12345;
  noisy.sweeps_per_block = 2;

  EXPECT_GT(test.Pass(noisy), 0);

  EXPECT_NE(test.state.assignments.ToHost(*test.backend).value(), at_rest);
  test.ExpectResidualIsCurrent();
}

TEST(ReassignVectors, EqualKeysGiveEqualChoicesAndOtherKeysOthers) {
  const LayerCase layer = RandomLayer(16, 160, 50);
  const auto choices = [&](std::uint32_t key) {
    RefineCase test(layer, SmallSpec(2, 4));
    ReassignOptions noisy;
    noisy.noise = 0.5 * test.residual.Loss() / (16 * 160);
    noisy.noise_key = key;
    test.Pass(noisy);
    return test.state.assignments.ToHost(*test.backend).value();
  };

  EXPECT_EQ(choices(1), choices(1));
  EXPECT_NE(choices(1), choices(0x80000000u));
}

}  // namespace
}  // namespace gptvq
