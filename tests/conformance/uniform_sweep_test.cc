#include <algorithm>
#include <cmath>

#include "core/base/dtype.h"
#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class UniformSweepConformance : public BackendConformance {};

struct Inputs {
  std::int64_t rows, width;
  int bits, group;
  std::vector<float> weights, target, grid_weights, feedback;  // feedback empty: none
};

Inputs RandomInputs(std::int64_t rows, std::int64_t width, int bits, int group) {
  const auto feedback = ToFloat(NormalizeBlockColumns64(ReversedCholesky64(RandomHessian(width, 90)), 1));
  Inputs in = {
      rows,    width, bits, group, TestRandom(91).Normals(rows * width), {}, TestRandom(93).Normals(rows * width),
      feedback};
  const auto earlier = TestRandom(92).Normals(rows * width, 0.1);
  for (std::size_t i = 0; i < in.weights.size(); ++i) in.target.push_back(in.weights[i] + earlier[i]);
  return in;
}

// error, target, codes, scales, zero points.
using Result = std::tuple<std::vector<float>, std::vector<float>, std::vector<std::uint8_t>, std::vector<std::uint16_t>,
                          std::vector<std::uint8_t>>;

Result RunSweep(Backend& backend, const Inputs& in) {
  const std::int64_t groups = (in.width + in.group - 1) / in.group;
  const GuardedMatrix<float> weights(backend, in.rows, in.width, in.weights),
      target(backend, in.rows, in.width, in.target);
  const GuardedMatrix<float> grid_weights(backend, in.rows, in.width, in.grid_weights),
      error(backend, in.rows, in.width);
  const GuardedMatrix<std::uint8_t> codes(backend, in.rows, in.width), zero_points(backend, in.rows, groups);
  const GuardedMatrix<std::uint16_t> scales(backend, in.rows, groups);
  UniformSweepBlock block;
  block.weights = weights.view();
  block.target = target.view();
  block.grid_weights = grid_weights.view();
  block.error_out = error.view();
  block.bits = in.bits;
  block.group_columns = in.group;
  block.codes_out = codes.view();
  block.scales_out = scales.view();
  block.zero_points_out = zero_points.view();
  if (in.feedback.empty()) {
    EXPECT_TRUE(backend.quant().SweepUniformColumns(block).ok());
  } else {
    const GuardedMatrix<float> feedback(backend, in.width, in.width, in.feedback);
    block.feedback = feedback.view();
    EXPECT_TRUE(backend.quant().SweepUniformColumns(block).ok());
  }
  return {error.Read(), target.Read(), codes.Read(), scales.Read(), zero_points.Read()};
}

// Follows the backend's grids and codes in float64: the grid is that of its grid weights, up to a rounding of the scale
// to half, and every code is the nearest one.
void CheckSweep(const Inputs& in, const Result& result) {
  const auto& [error, final_target, codes, scales, zero_points] = result;
  const std::int64_t groups = (in.width + in.group - 1) / in.group;
  const double max_code = (1 << in.bits) - 1;
  std::vector<double> target(in.target.begin(), in.target.end()), expected_error(target.size());
  for (std::int64_t r = 0; r < in.rows; ++r) {
    double* t = target.data() + r * in.width;
    for (std::int64_t c = 0; c < in.width; ++c) {
      const double scale = HalfToFloat(scales[r * groups + c / in.group]);
      const double zero_point = zero_points[r * groups + c / in.group];
      if (c % in.group == 0) {
        double low = 0, high = 0;
        for (std::int64_t i = c; i < std::min(in.width, c + in.group); ++i) {
          low = std::min<double>(low, in.grid_weights[r * in.width + i]);
          high = std::max<double>(high, in.grid_weights[r * in.width + i]);
        }
        if (low == high) low = -1, high = 1;
        ASSERT_NEAR(scale, (high - low) / max_code, (high - low) / max_code * 0x1.1p-11) << "half an ulp of a half";
        ASSERT_LE(std::fabs(zero_point - -low / scale), 0.5 + 1e-4);
      }
      const double code = codes[r * in.width + c];
      ASSERT_GE(code, 0);
      ASSERT_LE(code, max_code);
      const double exact = std::clamp(t[c] / scale + zero_point, 0.0, max_code);
      ASSERT_LE(std::fabs(code - exact), 0.5 + 1e-3) << "row " << r << " column " << c;
      const double e = in.weights[r * in.width + c] - scale * (code - zero_point);
      expected_error[r * in.width + c] = e;
      for (std::int64_t later = c + 1; later < in.width && !in.feedback.empty(); ++later) {
        t[later] += e * in.feedback[c * in.width + later];
      }
    }
  }
  const Bound bound = {64 * static_cast<double>(in.width) * kFloatRoundoff,
                       "feedback from up to `width` columns in f32"};
  EXPECT_TRUE(Close(error, expected_error, bound));
  EXPECT_TRUE(Close(final_target, target, bound));
}

TEST_P(UniformSweepConformance, GridsAndCodesFollowTheTargets) {
  for (auto [rows, width, bits, group] : {std::tuple<std::int64_t, std::int64_t, int, int>{1, 1, 2, 64},
                                          {37, 128, 3, 64},
                                          {40, 128, 4, 128},
                                          {64, 100, 8, 64},
                                          {0, 64, 3, 64}}) {
    for (bool with_feedback : {true, false}) {
      SCOPED_TRACE(testing::Message() << rows << "x" << width << " bits " << bits << " group " << group);
      Inputs in = RandomInputs(rows, width, bits, group);
      if (!with_feedback) in.feedback.clear();

      CheckSweep(in, OnEveryThreadCount([&](Backend& b) { return RunSweep(b, in); }));
    }
  }
}

TEST_P(UniformSweepConformance, RowsOfZerosOneSignAndTinyNumbersStayFinite) {
  Inputs in = RandomInputs(5, 64, 3, 64);
  in.feedback.clear();
  for (std::int64_t c = 0; c < 64; ++c) {
    in.target[c] = 0;
    in.target[64 + c] = 1 + 0.01f * static_cast<float>(c);       // positive: zero point 0
    in.target[2 * 64 + c] = -1 - 0.01f * static_cast<float>(c);  // negative: zero point at the top
    in.target[3 * 64 + c] = 1e-12f * static_cast<float>(c);      // scale below the smallest half
    in.target[4 * 64 + c] = 1e30f * static_cast<float>(c);       // scale above the largest half
  }
  in.weights = in.grid_weights = in.target;

  const auto [error, target, codes, scales, zero_points] = RunSweep(backend(), in);

  for (float e : error) EXPECT_TRUE(std::isfinite(e));
  for (std::int64_t c = 0; c < 64; ++c) EXPECT_EQ(error[c], 0.0f);
  EXPECT_EQ(zero_points[1], 0);
  EXPECT_EQ(zero_points[2], 7);
  for (std::uint16_t scale : scales) {
    EXPECT_GT(HalfToFloat(scale), 0);
    EXPECT_TRUE(std::isfinite(HalfToFloat(scale)));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, UniformSweepConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq
