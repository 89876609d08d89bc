#include <algorithm>
#include <cmath>

#include "core/backend/formulas.h"

#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/conformance/vector_code_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class RefineConformance : public BackendConformance {};

// Columns [begin, begin + width) of a linear; `gradient` = (Q - W) H of these columns for some W.
struct BlockInputs {
  std::int64_t begin, width;
  std::vector<float> gradient, hessian;
  std::vector<float> noise_deviations = {};
  std::uint32_t noise_key = 0;

  // What stands added to the gradient while a vector is chosen.
  double Noise(std::int64_t row, std::int64_t p) const {
    if (noise_deviations.empty()) return 0;
    const auto column_key = NoiseColumnKey(noise_key, static_cast<std::uint32_t>(p));
    return static_cast<double>(noise_deviations[p]) * AnnealingNoise(column_key, static_cast<std::uint32_t>(row));
  }
};

BlockInputs RandomBlock(const VectorCodeCase& host, std::int64_t begin, std::int64_t width) {
  const Matrix64 h = RandomHessian(width, 70);
  const auto weights = TestRandom(71).Normals(host.shape.rows * width);
  BlockInputs in = {begin, width, {}, ToFloat(h), {}, 0};
  for (std::int64_t r = 0; r < host.shape.rows; ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < width; ++i) sum += (host.Weight(r, begin + i) - weights[r * width + i]) * h(i, c);
      in.gradient.push_back(static_cast<float>(sum));
    }
  }
  return in;
}

using Result = std::tuple<std::vector<float>, std::vector<float>, std::vector<std::uint8_t>, std::int64_t>;

// gradient, change, assignments, count.
Result RunRefine(Backend& backend, const VectorCodeCase& host, const BlockInputs& in) {
  const DeviceVectorCode device(backend, host);
  const GuardedMatrix<float> gradient(backend, host.shape.rows, in.width, in.gradient);
  const GuardedMatrix<float> hessian(backend, in.width, in.width, in.hessian);
  const GuardedMatrix<float> change(backend, host.shape.rows, in.width);
  RefineBlock block;
  block.column_begin = in.begin;
  block.gradient = gradient.view();
  block.hessian = hessian.view();
  block.change_out = change.view();
  block.noise_deviations = in.noise_deviations;
  block.noise_key = in.noise_key;
  const auto changed =
      backend.quant().RefineColumns(device.code(), device.codebooks.view(), block, device.assignments.view());
  EXPECT_TRUE(changed.ok());
  return {gradient.Read(), change.Read(), device.assignments.Read(), *changed};
}

// 2 delta . g + delta H_PP delta^T of moving the vector of `row` at `column` to centroid k; `size_out` is the sum of the
// magnitudes.
double LossChange64(const VectorCodeCase& host, const BlockInputs& in, const double* gradient, std::int64_t row,
                    std::int64_t column, int k, double* size_out) {
  const int d = host.shape.vector_dim;
  const std::int64_t p = column - in.begin, group = host.Group(row, column);
  const int present = host.Assignment(row, column);
  double sum = 0;
  *size_out = 0;
  for (int i = 0; i < d; ++i) {
    const double delta = host.Scale(row, column) * (host.Centroid(group, k, i) - host.Centroid(group, present, i));
    const double slope = gradient[p + i] + in.Noise(row, p + i);
    sum += 2 * delta * slope;
    *size_out += std::fabs(2 * delta * slope);
    for (int j = 0; j < d; ++j) {
      const double other = host.Scale(row, column) * (host.Centroid(group, k, j) - host.Centroid(group, present, j));
      sum += delta * in.hessian[(p + i) * in.width + p + j] * other;
      *size_out += std::fabs(delta * in.hessian[(p + i) * in.width + p + j] * other);
    }
  }
  return sum;
}

// Follows the choices of the backend in float64: each must be, up to rounding, the best one at its moment.
void CheckRefine(const VectorCodeCase& host, const BlockInputs& in, const Result& result) {
  const auto& [gradient, change, assignments, changed] = result;
  const int d = host.shape.vector_dim;
  VectorCodeCase chosen = host;
  chosen.assignments = assignments;
  std::vector<double> g(in.gradient.begin(), in.gradient.end()), delta(g.size());
  std::int64_t moved = 0;
  for (std::int64_t r = 0; r < host.shape.rows; ++r) {
    for (std::int64_t p = 0; p < in.width; p += d) {
      double best = 0, size = 0, largest_size = 0;
      for (int k = 0; k < host.centroid_count(); ++k) {
        best = std::min(best, LossChange64(host, in, &g[r * in.width], r, in.begin + p, k, &size));
        largest_size = std::max(largest_size, size);
      }
      const int k = chosen.Assignment(r, in.begin + p);
      ASSERT_LT(k, host.centroid_count());
      ASSERT_LE(LossChange64(host, in, &g[r * in.width], r, in.begin + p, k, &size), best + 2e-5 * largest_size)
          << "row " << r << " position " << p;
      moved += k != host.Assignment(r, in.begin + p);
      for (int j = 0; j < d; ++j) {
        const double step = chosen.Weight(r, in.begin + p + j) - host.Weight(r, in.begin + p + j);
        delta[r * in.width + p + j] = step;
        for (std::int64_t c = 0; c < in.width; ++c) g[r * in.width + c] += step * in.hessian[(p + j) * in.width + c];
      }
    }
  }
  EXPECT_EQ(changed, moved);
  EXPECT_TRUE(Close(change, delta, {8 * kFloatRoundoff, "a product and a difference"}));
  EXPECT_TRUE(
      Close(gradient, g, {32 * static_cast<double>(in.width) * kFloatRoundoff, "one sum per column of the block"}));
}

TEST_P(RefineConformance, EveryChoiceIsTheBestAtItsMoment) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    for (bool whole : {true, false}) {
      const VectorCodeCase host(shape);
      const std::int64_t begin = whole ? 0 : std::min<std::int64_t>(shape.cols - shape.vector_dim, 64);
      const std::int64_t width = std::min<std::int64_t>(whole ? 128 : 96, shape.cols - begin);
      SCOPED_TRACE(testing::Message() << Describe(shape) << " columns " << begin << "+" << width);
      const BlockInputs in = RandomBlock(host, begin, width);

      CheckRefine(host, in, OnEveryThreadCount([&](Backend& b) { return RunRefine(b, host, in); }));
    }
  }
}

TEST_P(RefineConformance, NoiseMovesTheChoicesButStaysOutOfTheGradient) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    const VectorCodeCase host(shape);
    const std::int64_t width = std::min<std::int64_t>(128, shape.cols);
    SCOPED_TRACE(testing::Message() << Describe(shape));
    BlockInputs in = RandomBlock(host, 0, width);
    in.noise_deviations = TestRandom(72).Uniforms(width, 0.1, 2.0);
    in.noise_key = 0xfffffff0u;  // key + column wraps around

    CheckRefine(host, in, OnEveryThreadCount([&](Backend& b) { return RunRefine(b, host, in); }));
  }
}

TEST_P(RefineConformance, ASecondPassOverAFixedPointChangesNothing) {
  VectorCodeCase host({20, 32, 2, 3, 1024, 32, 0});
  BlockInputs in = RandomBlock(host, 0, 32);
  std::int64_t changed = 1;
  for (int pass = 0; pass < 100 && changed > 0; ++pass) {
    const Result result = RunRefine(backend(), host, in);
    in.gradient = std::get<0>(result);
    host.assignments = std::get<2>(result);
    changed = std::get<3>(result);
  }
  ASSERT_EQ(changed, 0) << "coordinate descent did not come to rest";

  const Result again = RunRefine(backend(), host, in);

  EXPECT_EQ(std::get<0>(again), in.gradient);
  EXPECT_EQ(std::get<1>(again), std::vector<float>(20 * 32, 0.0f));
  EXPECT_EQ(std::get<2>(again), host.assignments);
}

TEST_P(RefineConformance, KeepsThePresentCentroidAmongEqualOnes) {
  for (int d : {1, 2, 4}) {
    VectorCodeCase host({35, 64, d, 4, 2048, 64, 0});
    for (std::int64_t g = 0; g < host.layout.group_count(); ++g) {  // all centroids of a group are the same point
      for (int e = d; e < 16 * d; ++e) host.codebooks[g * 16 * d + e] = host.codebooks[g * 16 * d + e % d];
    }
    const BlockInputs in = RandomBlock(host, 0, 64);

    const Result result = RunRefine(backend(), host, in);

    EXPECT_EQ(std::get<3>(result), 0);
    EXPECT_EQ(std::get<2>(result), host.assignments);
    EXPECT_EQ(std::get<0>(result), in.gradient);
  }
}

TEST_P(RefineConformance, RefusesShapesThatDoNotFit) {
  const VectorCodeCase host({8, 32, 2, 3, 256, 32, 0});
  const DeviceVectorCode device(backend(), host);
  const GuardedMatrix<float> a(backend(), 8, 16), wrong(backend(), 15, 16);
  RefineBlock block;
  block.gradient = block.change_out = a.view();
  block.hessian = wrong.view();

  EXPECT_EQ(backend()
                .quant()
                .RefineColumns(device.code(), device.codebooks.view(), block, device.assignments.view())
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);

  const GuardedMatrix<float> square(backend(), 16, 16);
  const float deviations[15] = {};
  block.hessian = square.view();
  block.noise_deviations = deviations;
  EXPECT_EQ(backend()
                .quant()
                .RefineColumns(device.code(), device.codebooks.view(), block, device.assignments.view())
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Backends, RefineConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
