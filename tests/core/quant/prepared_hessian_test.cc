#include "core/quant/prepared_hessian.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

Dense Download(Backend& backend, MatrixView<const float> device) {
  std::vector<float> values(static_cast<std::size_t>(device.rows * device.cols));
  EXPECT_TRUE(backend.CopyBytesToHost(device.data, values.data(), values.size() * sizeof(float)).ok());
  return Dense(device.rows, device.cols, values);
}

absl::StatusOr<PreparedHessian> PrepareDense(Backend& backend, const Dense& h, const QuantSpec& spec) {
  const std::vector<float> values = Narrowed(h);
  Hessian hessian;
  hessian.matrix = DeviceMatrix<float>::FromHost(backend, values.data(), h.rows, h.cols).value();
  return PreparedHessian::Make(backend, std::move(hessian), spec, nullptr);
}

TEST(PreparedHessian, FactorsTheDampedMatrixFromTheRight) {
  const auto backend = CpuForTests();
  const Dense h = CorrelatedHessian(48, 200, 1);

  const PreparedHessian prepared = PrepareDense(*backend, h, SmallSpec(2, 4)).value();

  const Dense damped = Damped(h, SmallSpec(2, 4).damping);
  const Dense v = Download(*backend, prepared.factor());
  for (std::int64_t r = 0; r < 48; ++r) {
    for (std::int64_t c = 0; c < r; ++c) EXPECT_EQ(v(r, c), 0.0) << "V is upper triangular";
  }
  const Bound bound = {64 * kFloatRoundoff, "V rounded to f32, sums of up to 48 products"};
  EXPECT_TRUE(Close(Narrowed(Product(v, Transposed(v))), damped.values, bound));
  EXPECT_EQ(prepared.damping(), SmallSpec(2, 4).damping);
  EXPECT_EQ(prepared.policy(), HessianPolicy::kFull);
  EXPECT_TRUE(prepared.dead_columns().empty());
  for (std::int64_t j = 0; j < 48; ++j) {
    EXPECT_NEAR(prepared.conditional_weights()[j], v(j, j) * v(j, j), 1e-6 * v(j, j) * v(j, j));
    EXPECT_NEAR(prepared.diagonal()[j], damped(j, j), 1e-6 * damped(j, j));
  }
}

// Identity: 1 / [H_F^-1]_jj = V_jj^2, with F the columns from j on, which are not yet quantized.
TEST(PreparedHessian, ConditionalWeightsAreReciprocalsOfTheInverseOfWhatIsLeft) {
  const auto backend = CpuForTests();
  const Dense h = CorrelatedHessian(24, 100, 2);
  const Dense damped = Damped(h, SmallSpec(1, 4).damping);

  const PreparedHessian prepared = PrepareDense(*backend, h, SmallSpec(1, 4)).value();

  for (std::int64_t j = 0; j < 24; ++j) {
    // Earlier columns are fixed: rows and columns from j on of H' are what is left.
    Dense left(24 - j, 24 - j);
    for (std::int64_t r = j; r < 24; ++r) {
      for (std::int64_t c = j; c < 24; ++c) left(r - j, c - j) = damped(r, c);
    }
    EXPECT_NEAR(prepared.conditional_weights()[j] * Inverse(left)(0, 0), 1, 1e-4);
  }
}

TEST(PreparedHessian, FeedbackMakesTheBlockLdlFormOfTheMatrix) {
  const auto backend = CpuForTests();
  const Dense h = CorrelatedHessian(32, 150, 3);
  for (int d : {1, 2, 4}) {
    const PreparedHessian prepared = PrepareDense(*backend, h, SmallSpec(d, 4)).value();

    const Dense m = Download(*backend, prepared.feedback());
    const Dense v = Download(*backend, prepared.factor());
    Dense blocks(32, 32);  // D: V_PP V_PP^T on the diagonal
    for (std::int64_t p = 0; p < 32; p += d) {
      for (int i = 0; i < d; ++i) {
        for (int j = 0; j < d; ++j) {
          EXPECT_NEAR(m(p + i, p + j), i == j ? 1 : 0, 1e-6) << "M has unit diagonal blocks";
          for (int k = 0; k < d; ++k) blocks(p + i, p + j) += v(p + i, p + k) * v(p + j, p + k);
        }
      }
    }
    EXPECT_TRUE(Close(Narrowed(Product(Product(m, blocks), Transposed(m))), Damped(h, SmallSpec(d, 4).damping).values,
                      {256 * kFloatRoundoff, "M and V rounded to f32, sums of up to 32 products"}));
  }
}

TEST(PreparedHessian, CountsDeadAndNearDeadColumns) {
  const auto backend = CpuForTests();
  Dense h = CorrelatedHessian(32, 150, 4);
  double mean = 0;
  for (std::int64_t j = 0; j < 32; ++j) mean += h(j, j) / 32;
  for (std::int64_t j : {3, 20}) {
    for (std::int64_t i = 0; i < 32; ++i) h(i, j) = h(j, i) = 0;
  }
  h(20, 20) = 1e-9 * mean;

  const PreparedHessian prepared = PrepareDense(*backend, h, SmallSpec(2, 4)).value();

  EXPECT_EQ(std::vector<std::int64_t>(prepared.dead_columns().begin(), prepared.dead_columns().end()),
            (std::vector<std::int64_t>{3, 20}));
  EXPECT_EQ(prepared.policy(), HessianPolicy::kFull);
}

TEST(PreparedHessian, FewerTokensThanColumnsNeedNoMoreThanTheFirstRung) {
  const auto backend = CpuForTests();

  const PreparedHessian prepared = PrepareDense(*backend, CorrelatedHessian(64, 10, 5), SmallSpec(2, 4)).value();

  EXPECT_EQ(prepared.damping(), SmallSpec(2, 4).damping);
  EXPECT_EQ(prepared.policy(), HessianPolicy::kFull);
}

// A matrix with unit diagonal and eigenvalues 1 - c and 1 + (n - 1) c is indefinite for c < -1 / (n - 1).
Dense IndefiniteWithSmallestEigenvalue(std::int64_t n, double smallest) {
  const double c = (smallest - 1) / static_cast<double>(n - 1);
  Dense h(n, n);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t j = 0; j < n; ++j) h(r, j) = r == j ? 1 : c;
  }
  return h;
}

TEST(PreparedHessian, ClimbsTheLadderUntilTheMatrixIsPositiveDefinite) {
  const auto backend = CpuForTests();
  QuantSpec spec = SmallSpec(2, 4);
  spec.damping = 0.01;
  const std::pair<double, double> cases[] = {{-0.005, 0.01}, {-0.02, 0.03}, {-0.05, 0.1}, {-0.2, 0.3}, {-0.9, 1.0}};
  for (const auto& [smallest, rung] : cases) {
    const PreparedHessian prepared =
        PrepareDense(*backend, IndefiniteWithSmallestEigenvalue(16, smallest), spec).value();

    EXPECT_EQ(prepared.damping(), rung) << smallest;
    EXPECT_EQ(prepared.policy(), HessianPolicy::kFull);
    EXPECT_NEAR(prepared.lambda(), rung, 1e-12);  // the mean diagonal is 1
  }
}

TEST(PreparedHessian, FallsBackToTheDiagonalWhenNoRungHelps) {
  const auto backend = CpuForTests();
  QuantSpec spec = SmallSpec(2, 4);

  const PreparedHessian prepared = PrepareDense(*backend, IndefiniteWithSmallestEigenvalue(16, -5), spec).value();

  EXPECT_EQ(prepared.policy(), HessianPolicy::kDiagonalOnly);
  const Dense damped = Download(*backend, prepared.damped());
  const Dense feedback = Download(*backend, prepared.feedback());
  for (std::int64_t r = 0; r < 16; ++r) {
    for (std::int64_t c = 0; c < 16; ++c) {
      EXPECT_NEAR(damped(r, c), r == c ? 1 + spec.damping : 0, 1e-6);
      EXPECT_EQ(feedback(r, c), r == c ? 1 : 0);
    }
  }
}

TEST(PreparedHessian, AnInputThatNoTokenReachedCountsAllColumnsTheSame) {
  const auto backend = CpuForTests();

  const PreparedHessian prepared = PrepareDense(*backend, Dense(16, 16), SmallSpec(2, 4)).value();

  EXPECT_EQ(prepared.dead_columns().size(), 16u);
  for (float weight : prepared.conditional_weights()) EXPECT_EQ(weight, 1.0f);
}

TEST(PreparedHessian, RefusesADiagonalThatIsNotFinite) {
  const auto backend = CpuForTests();
  Dense h = CorrelatedHessian(16, 50, 6);
  h(7, 7) = std::numeric_limits<double>::infinity();

  const auto prepared = PrepareDense(*backend, h, SmallSpec(2, 4));

  EXPECT_EQ(prepared.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(prepared.status().message().find("element 7"), std::string::npos) << prepared.status();
}

TEST(PreparedHessian, RefusesAWidthThatVectorsDoNotDivide) {
  const auto backend = CpuForTests();

  const auto prepared = PrepareDense(*backend, CorrelatedHessian(15, 50, 6), SmallSpec(2, 4));

  EXPECT_EQ(prepared.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(prepared.status().message().find("15 columns, no multiple of vector_dim 2"), std::string::npos)
      << prepared.status();
}

TEST(PreparedHessian, ReferenceBehaviourGivesUpAfterTheFirstRung) {
  const auto backend = CpuForTests();
  QuantSpec spec = SmallSpec(2, 4);
  spec.compatibility = Compatibility::kReference;

  const auto prepared = PrepareDense(*backend, IndefiniteWithSmallestEigenvalue(16, -0.5), spec);

  EXPECT_EQ(prepared.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(PreparedHessian, ActOrderSortsColumnsByTheirDiagonal) {
  const auto backend = CpuForTests();
  const Dense h = CorrelatedHessian(40, 200, 7);
  QuantSpec spec;
  spec.method = QuantMethod::kGptq;
  spec.act_order = true;

  const PreparedHessian prepared = PrepareDense(*backend, h, spec).value();

  const Dense damped = Download(*backend, prepared.damped());
  ASSERT_EQ(prepared.permutation().size(), 40u);
  for (std::int64_t i = 0; i + 1 < 40; ++i) EXPECT_GE(damped(i, i), damped(i + 1, i + 1));
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      EXPECT_EQ(damped(i, j), static_cast<float>(h(prepared.permutation()[i], prepared.permutation()[j])));
    }
  }
}

}  // namespace
}  // namespace gptvq
