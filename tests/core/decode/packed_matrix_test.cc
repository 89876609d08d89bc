#include "core/decode/packed_matrix.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/format/packed_linear.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"
#include "tests/core/format/random_linear.h"

namespace gptvq {
namespace {

constexpr double kEpsilon = 0x1p-24;  // unit roundoff of f32

struct Case {
  std::string what;
  QuantSpec spec;
  std::int64_t rows;
  std::int64_t cols;
};

QuantSpec With(const char* preset, void (*edit)(QuantSpec&)) {
  QuantSpec spec = *FindPreset(preset);
  edit(spec);
  return spec;
}

// Every reader, every size of planes, every packing; regular, ragged and tiny shapes.
std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"64 centroids", *FindPreset("2d-3.125bpv"), 70, 576},
      {"16 centroids, ragged", *FindPreset("2d-2.125bpv"), 50, 330},
      {"256 centroids of 4", *FindPreset("4d-2.125bpv"), 130, 300},
      {"256 centroids of 2", *FindPreset("2d-4.125bpv"), 17, 514},
      {"1-D, 4 centroids", *FindPreset("1d-2.125bpv"), 33, 259},
      {"1-D, 8 centroids, block scales", *FindPreset("1d-3.125bpv-s64"), 20, 700},
      {"block scales of 64", *FindPreset("2d-3.125bpv-s64"), 33, 330},
      {"block scales of 32", *FindPreset("2d-2.25bpv-s32"), 19, 1000},
      {"block scales of 64, vectors of 4", *FindPreset("4d-2.1875bpv-s64"), 19, 600},
      {"half codebooks", *FindPreset("2d-2.125bpv-fp16"), 40, 384},
      {"one vector", *FindPreset("2d-3.125bpv"), 1, 2},
      {"a stripe too narrow for planes", *FindPreset("2d-3.125bpv"), 5, 258},
      {"uniform 3 bits", *FindPreset("rtn-3bit-g128"), 21, 333},
      {"uniform 2 bits", *FindPreset("gptq-2bit-g64"), 7, 65},
      {"uniform 8 bits", *FindPreset("gptq-8bit-g128"), 6, 200},
  };
  cases.push_back({"32 centroids", With("2d-3.125bpv", [](QuantSpec& s) { s.index_bits = 5; }), 12, 400});
  cases.push_back({"128 centroids", With("2d-3.125bpv", [](QuantSpec& s) { s.index_bits = 7; }), 12, 400});
  cases.push_back({"2 centroids", With("1d-2.125bpv", [](QuantSpec& s) { s.index_bits = 1; }), 12, 400});
  cases.push_back({"SVD", With("1d-3.125bpv", [](QuantSpec& s) { s.svd_rank_fraction = 0.5; }), 12, 512});
  cases.push_back(
      {"narrow block scales", With("4d-2.1875bpv-s64", [](QuantSpec& s) { s.block_scale_columns = 8; }), 9, 520});
  cases.push_back({"narrow stripes, block scales",
                   With("4d-2.1875bpv-s64",
                        [](QuantSpec& s) {
                          s.columns_per_group = 64;
                          s.block_scale_columns = 16;
                        }),
                   9, 200});
  cases.push_back(
      {"a scale for two lanes", With("1d-2.125bpv-s64", [](QuantSpec& s) { s.block_scale_columns = 8; }), 9, 520});
  cases.push_back(
      {"a scale for a stripe", With("1d-2.125bpv-s64", [](QuantSpec& s) { s.block_scale_columns = 256; }), 9, 520});
  cases.push_back({"permuted", With("gptq-3bit-g64", [](QuantSpec& s) { s.act_order = true; }), 5, 130});
  return cases;
}

struct Problem {
  explicit Problem(const Case& c)
      : linear(RandomLinear(9, c.rows, c.cols, c.spec)), module(ModuleOf("m", linear, c.spec)) {
    weights.resize(c.rows * c.cols);
    Dequantize(linear, MatrixView<float>(weights.data(), c.rows, c.cols));
  }
  PackedMatrix Matrix() const { return *PackedMatrix::Make(module, *PackLinear(module, linear)); }

  QuantizedLinear linear;
  PackedModule module;
  std::vector<float> weights;
};

std::vector<float> RandomInput(std::int64_t count) {
  const Philox philox(3, Philox::StreamOf("input"));
  std::vector<float> x(count);
  for (std::int64_t i = 0; i < count; ++i) x[i] = static_cast<float>(2 * philox.Uniform(i) - 1);
  return x;
}

// Product in float64 and the bound: C products and additions in f32, each weight rounded up to three times.
void ExpectProduct(const Case& c, const std::vector<float>& weights, const float* x, const float* y,
                   std::int64_t y_stride) {
  for (std::int64_t r = 0; r < c.rows; ++r) {
    double sum = 0;
    double absolute = 0;
    for (std::int64_t i = 0; i < c.cols; ++i) {
      const double term = static_cast<double>(weights[r * c.cols + i]) * static_cast<double>(x[i]);
      sum += term;
      absolute += std::fabs(term);
    }
    const double bound = (static_cast<double>(c.cols) / 4 + 20) * kEpsilon * absolute;
    ASSERT_NEAR(y[r * y_stride], sum, bound) << "row " << r;
  }
}

// Runs the test once for every instruction set that this processor and this build have.
class PackedMatrixTest : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

std::vector<std::int64_t> Targets() {
  std::vector<std::int64_t> targets;
  for (const std::int64_t target : {HWY_SSE4, HWY_AVX2, HWY_AVX3}) {
    if ((hwy::SupportedTargets() & target) != 0) targets.push_back(target);
  }
  return targets;
}
INSTANTIATE_TEST_SUITE_P(EveryTarget, PackedMatrixTest, testing::ValuesIn(Targets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(PackedMatrixTest, DecodesTheWeightsOfDequantize) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const Problem problem(c);
    std::vector<float> decoded(problem.weights.size(), std::numeric_limits<float>::quiet_NaN());

    problem.Matrix().DecodeRows(0, MatrixView<float>(decoded.data(), c.rows, c.cols));

    for (std::size_t i = 0; i < decoded.size(); ++i) {
      ASSERT_NEAR(decoded[i], problem.weights[i], 3 * kEpsilon * std::fabs(problem.weights[i])) << i;
    }
  }
}

TEST_P(PackedMatrixTest, MultipliesAVector) {
  WorkerPool pool(1);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const Problem problem(c);
    const std::vector<float> x = RandomInput(c.cols);
    std::vector<float> y(c.rows, std::numeric_limits<float>::quiet_NaN());

    problem.Matrix().MultiplyVector(x, absl::MakeSpan(y), pool);

    ExpectProduct(c, problem.weights, x.data(), y.data(), 1);
  }
}

TEST_P(PackedMatrixTest, MultipliesAnyNumberOfTokens) {
  WorkerPool pool(2);
  for (const Case& c : Cases()) {
    for (std::int64_t tokens : {0, 1, 2, 3, 5, 8}) {
      SCOPED_TRACE(testing::Message() << c.what << ", " << tokens << " tokens");
      const Problem problem(c);
      const std::vector<float> x = RandomInput(tokens * c.cols);
      std::vector<float> y(tokens * c.rows, std::numeric_limits<float>::quiet_NaN());

      problem.Matrix().Multiply(MatrixView<const float>(x.data(), tokens, c.cols),
                                MatrixView<float>(y.data(), tokens, c.rows), pool);

      for (std::int64_t t = 0; t < tokens; ++t) {
        ExpectProduct(c, problem.weights, x.data() + t * c.cols, y.data() + t * c.rows, 1);
      }
    }
  }
}

TEST_P(PackedMatrixTest, DoesNotDependOnTheNumberOfThreads) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const PackedMatrix matrix = Problem(c).Matrix();
    const std::vector<float> x = RandomInput(6 * c.cols);
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 7}) {
      WorkerPool pool(threads);
      std::vector<float>& y = results.emplace_back(7 * c.rows, std::numeric_limits<float>::quiet_NaN());
      matrix.Multiply(MatrixView<const float>(x.data(), 6, c.cols), MatrixView<float>(y.data(), 6, c.rows), pool);
      matrix.MultiplyVector({x.data(), static_cast<std::size_t>(c.cols)},
                            {y.data() + 6 * c.rows, static_cast<std::size_t>(c.rows)}, pool);
    }

    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST(PackedMatrix, DecodesRowsFromAnyPlaceOn) {
  const Case c = Cases()[0];
  const Problem problem(c);
  const PackedMatrix matrix = problem.Matrix();
  std::vector<float> decoded(3 * c.cols);

  matrix.DecodeRows(40, MatrixView<float>(decoded.data(), 3, c.cols));

  EXPECT_NEAR(decoded[0], problem.weights[40 * c.cols], 1e-6);
  EXPECT_NEAR(decoded[2 * c.cols + 5], problem.weights[42 * c.cols + 5], 1e-6);
  EXPECT_EQ(matrix.rows(), c.rows);
  EXPECT_EQ(8 * matrix.packed_bytes(), CountPackedBits(problem.module)->total_bits());
}

TEST(PackedMatrix, RefusesDamagedTensors) {
  const Problem problem(Cases()[0]);
  auto tensors = PackLinear(problem.module, problem.linear);
  (*tensors)[0].bytes[1] = std::byte{0x7f};  // a codebook scale
  (*tensors)[0].bytes[0] = std::byte{0xff};
  ASSERT_EQ((*tensors)[0].info.name, "m.vq_codebook_scales");

  EXPECT_EQ(PackedMatrix::Make(problem.module, *tensors).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq
