#include <algorithm>
#include <cmath>

#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/conformance/vector_code_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class SweepConformance : public BackendConformance {};

// Columns [begin, begin + width) of a linear, and what the sweep needs of H for them.
struct BlockInputs {
  std::int64_t begin, width;
  std::vector<float> weights, target, factor, feedback;
};

BlockInputs RandomBlock(const VectorCodeCase& host, std::int64_t begin, std::int64_t width) {
  const Matrix64 v = ReversedCholesky64(RandomHessian(width, 60));
  BlockInputs in = {begin, width,      TestRandom(61).Normals(host.shape.rows * width),
                    {},    ToFloat(v), ToFloat(NormalizeBlockColumns64(v, host.shape.vector_dim))};
  const auto earlier_feedback = TestRandom(62).Normals(host.shape.rows * width, 0.1);
  for (std::size_t i = 0; i < in.weights.size(); ++i) in.target.push_back(in.weights[i] + earlier_feedback[i]);
  return in;
}

struct SweepResult {
  std::vector<float> target, error;
  std::vector<std::uint8_t> assignments;  // of the whole linear
  double loss;
};

std::tuple<std::vector<float>, std::vector<float>, std::vector<std::uint8_t>, double> RunSweep(
    Backend& backend, const VectorCodeCase& host, const BlockInputs& in, bool weights_are_target = false) {
  const DeviceVectorCode device(backend, host);
  const std::int64_t rows = host.shape.rows;
  const GuardedMatrix<float> weights(backend, rows, in.width, in.weights), target(backend, rows, in.width, in.target);
  const GuardedMatrix<float> factor(backend, in.width, in.width, in.factor);
  const GuardedMatrix<float> feedback(backend, in.width, in.width, in.feedback);
  const GuardedMatrix<float> error(backend, rows, in.width);
  SweepBlock block;
  block.column_begin = in.begin;
  block.weights = weights_are_target ? target.view() : weights.view();
  block.target = target.view();
  block.feedback = feedback.view();
  block.metric_factor = factor.view();
  block.error_out = error.view();
  const auto loss =
      backend.quant().SweepColumns(device.code(), device.codebooks.view(), block, device.assignments.view());
  EXPECT_TRUE(loss.ok());
  return {target.Read(), error.Read(), device.assignments.Read(), *loss};
}

// |(t - s c_k) V_PP|^2 for the vector of `row` at `column`.
double Distance64(const VectorCodeCase& host, const BlockInputs& in, const double* target, std::int64_t row,
                  std::int64_t column, int k) {
  const std::int64_t p = column - in.begin;
  double sum = 0;
  for (int j = 0; j < host.shape.vector_dim; ++j) {
    double z = 0;
    for (int i = 0; i <= j; ++i) {
      const double error = target[p + i] - host.Scale(row, column) * host.Centroid(host.Group(row, column), k, i);
      z += error * in.factor[(p + i) * in.width + p + j];
    }
    sum += z * z;
  }
  return sum;
}

// Follows the choices of the backend in float64 and checks that each was the best one to be had at its moment, up to
// rounding; so that a close call that goes the other way changes nothing else.
void CheckSweep(const VectorCodeCase& host, const BlockInputs& in, const SweepResult& result, bool weights_are_target) {
  const int d = host.shape.vector_dim;
  VectorCodeCase chosen = host;
  chosen.assignments = result.assignments;
  std::vector<double> target(in.target.begin(), in.target.end()), error(target.size());
  double loss = 0;
  for (std::int64_t r = 0; r < host.shape.rows; ++r) {
    double* t = target.data() + r * in.width;
    for (std::int64_t p = 0; p < in.width; p += d) {
      double best = INFINITY, norm = 0;
      for (int k = 0; k < host.centroid_count(); ++k) {
        best = std::min(best, Distance64(host, in, t, r, in.begin + p, k));
        norm = std::max(norm, Distance64(host, in, t, r, in.begin + p, k));
      }
      const int k = chosen.Assignment(r, in.begin + p);
      ASSERT_LT(k, host.centroid_count());
      const double distance = Distance64(host, in, t, r, in.begin + p, k);
      ASSERT_LE(distance, best + 2e-5 * (norm + 1)) << "row " << r << " position " << p;
      loss += distance;
      for (int j = 0; j < d; ++j) {
        const double weight = weights_are_target ? t[p + j] : in.weights[r * in.width + p + j];
        const double e = weight - chosen.Weight(r, in.begin + p + j);
        error[r * in.width + p + j] = e;
        for (std::int64_t c = p + d; c < in.width; ++c) t[c] += e * in.feedback[(p + j) * in.width + c];
      }
    }
  }
  const Bound bound = {64 * static_cast<double>(in.width) * kFloatRoundoff,
                       "feedback from up to `width` columns in f32"};
  EXPECT_TRUE(Close(result.error, error, bound));
  EXPECT_TRUE(Close(result.target, target, bound));
  EXPECT_TRUE(CloseNumber(result.loss, loss, {1e-4, "f32 distances of nearby points"}));
  for (std::int64_t r = 0; r < host.shape.rows; ++r) {
    for (std::int64_t c = 0; c < host.shape.cols; c += d) {
      if (c >= in.begin && c < in.begin + in.width) continue;
      ASSERT_EQ(chosen.Assignment(r, c), host.Assignment(r, c)) << "assignment outside the block changed";
    }
  }
}

TEST_P(SweepConformance, EveryChoiceIsTheBestAtItsMoment) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    for (bool whole : {true, false}) {
      const VectorCodeCase host(shape);
      const std::int64_t begin = whole ? 0 : std::min<std::int64_t>(shape.cols - shape.vector_dim, 64);
      const std::int64_t width = std::min<std::int64_t>(whole ? 128 : 96, shape.cols - begin);
      SCOPED_TRACE(testing::Message() << Describe(shape) << " columns " << begin << "+" << width);
      const BlockInputs in = RandomBlock(host, begin, width);

      const auto [target, error, assignments, loss] =
          OnEveryThreadCount([&](Backend& b) { return RunSweep(b, host, in); });

      CheckSweep(host, in, {target, error, assignments, loss}, false);
    }
  }
}

TEST_P(SweepConformance, TheTargetMayStandForTheWeights) {
  const VectorCodeCase host({40, 128, 2, 4, 2048, 128, 64});
  const BlockInputs in = RandomBlock(host, 0, 128);

  const auto [target, error, assignments, loss] =
      OnEveryThreadCount([&](Backend& b) { return RunSweep(b, host, in, true); });

  CheckSweep(host, in, {target, error, assignments, loss}, true);
}

// Identity (3) of docs/numerics.md: the losses of the sweep add up to tr(E H E^T).
TEST_P(SweepConformance, LossesAddUpToTheTraceOfTheErrorInTheHessian) {
  for (int d : {1, 2, 4}) {
    const VectorCodeCase host({24, 128, d, 4, 2048, 128, 0});
    BlockInputs in = RandomBlock(host, 0, 128);
    in.target = in.weights;
    const Matrix64 h = RandomHessian(128, 60);

    const auto [target, error, assignments, loss] = RunSweep(backend(), host, in);

    double trace = 0;
    for (std::int64_t r = 0; r < 24; ++r) {
      for (std::int64_t i = 0; i < 128; ++i) {
        for (std::int64_t j = 0; j < 128; ++j) trace += error[r * 128 + i] * h(i, j) * error[r * 128 + j];
      }
    }
    EXPECT_TRUE(CloseNumber(loss, trace, {1e-4, "V and M rounded to f32, errors fed back in f32"}));
  }
}

TEST_P(SweepConformance, ChoosesTheSmallestIndexAmongEqualCentroids) {
  for (int d : {1, 2, 4}) {
    VectorCodeCase host({35, 64, d, 6, 2048, 64, 0});
    const std::int64_t half = 32 * d;  // entries of the first half of a codebook
    for (std::int64_t g = 0; g < host.layout.group_count(); ++g) {
      for (std::int64_t e = 0; e < half; ++e)
        host.codebooks[g * 2 * half + half + e] = host.codebooks[g * 2 * half + e];
    }

    const auto result = RunSweep(backend(), host, RandomBlock(host, 0, 64));

    for (std::uint8_t k : std::get<2>(result)) ASSERT_LT(k, 32);
  }
}

TEST_P(SweepConformance, WithADiagonalHessianEveryVectorGoesToItsNearestCentroid) {
  const VectorCodeCase host({33, 64, 2, 5, 2048, 64, 32});
  BlockInputs in = RandomBlock(host, 0, 64);
  in.factor = ToFloat(Matrix64(64, 64));
  for (std::int64_t i = 0; i < 64; ++i) in.factor[i * 65] = 1;
  in.feedback = in.factor;

  const auto [target, error, assignments, loss] = RunSweep(backend(), host, in);

  EXPECT_EQ(target, in.target);  // nothing was fed back
  CheckSweep(host, in, {target, error, assignments, loss}, false);
}

TEST_P(SweepConformance, RefusesShapesThatDoNotFit) {
  const VectorCodeCase host({8, 32, 2, 3, 256, 32, 0});
  const DeviceVectorCode device(backend(), host);
  const GuardedMatrix<float> a(backend(), 8, 16), square(backend(), 16, 16), wrong(backend(), 15, 16);
  SweepBlock block;
  block.column_begin = 0;
  block.weights = block.target = block.error_out = a.view();
  block.feedback = block.metric_factor = square.view();
  SweepBlock outside = block, odd = block, flat = block;
  outside.column_begin = 18;
  odd.column_begin = 1;
  flat.feedback = wrong.view();

  for (const SweepBlock& bad : {outside, odd, flat}) {
    EXPECT_EQ(backend()
                  .quant()
                  .SweepColumns(device.code(), device.codebooks.view(), bad, device.assignments.view())
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SweepConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
