#include "core/quant/quantize_linear.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/quant/decode_linear.h"
#include "core/spec/presets.h"
#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

double RelativeError(const LayerCase& layer, const LinearResult& result) {
  return QuadraticLoss(ErrorOf(layer, result), layer.hessian) / QuadraticLoss(layer.weights, layer.hessian);
}

// What must hold for every result, whatever the spec.
void ExpectConsistent(const LayerCase& layer, const LinearResult& result) {
  EXPECT_TRUE(ValidateQuantizedLinear(result.linear).ok()) << ValidateQuantizedLinear(result.linear);
  const auto backend = CpuForTests();
  const std::vector<float> poison(layer.narrow.size(), std::numeric_limits<float>::quiet_NaN());
  auto decoded = DeviceMatrix<float>::FromHost(*backend, poison.data(), layer.weights.rows, layer.weights.cols).value();
  EXPECT_TRUE(DecodeLinear(*backend, result.linear, AsTensor(decoded.view())).ok());
  EXPECT_EQ(decoded.ToHost(*backend).value(), result.Dequantized()) << "the backend decodes what the host does";
  EXPECT_EQ(result.report.bits, CountBits(result.linear));
  EXPECT_EQ(result.report.rows, layer.weights.rows);
  EXPECT_EQ(result.report.cols, layer.weights.cols);
  EXPECT_TRUE(CloseNumber(result.report.relative_error, RelativeError(layer, result),
                          {2e-3, "f32 loss with H' minus its damped part"}));
}

// What the pipeline decodes in place of what it would have to bring there again.
TEST(QuantizeLinear, HandsOutTheAssignmentsThatItPacked) {
  const LayerCase layer = RandomLayer(50, 160, 21);  // a narrow last stripe
  const QuantSpec spec = SmallSpec(2, 3);
  const auto backend = CpuForTests();
  const PreparedHessian hessian = Prepare(*backend, layer, spec);
  const auto copy_rows = [&](int, std::int64_t first_row, MatrixView<float> rows_out) {
    return backend->CopyFromHost(layer.View().Rows(first_row, rows_out.rows), AsTensor(rows_out));
  };
  DeviceMatrix<std::uint8_t> assignments;

  const absl::StatusOr<LinearResult> result =
      QuantizeLinear(Team(*backend), "x", LinearWeights{50, 160, copy_rows}, absl::MakeConstSpan(&hessian, 1), spec, 1,
                     nullptr, assignments);

  ASSERT_TRUE(result.ok()) << result.status();
  const auto& linear = std::get<VectorQuantizedLinear>(result->linear);
  EXPECT_EQ(assignments.ToHost(*backend).value(), linear.Assignments());
  auto decoded = DeviceMatrix<float>::Zeros(*backend, 50, 160).value();
  EXPECT_TRUE(DecodeLinear(*backend, linear, std::as_const(assignments).view(), AsTensor(decoded.view())).ok());
  EXPECT_EQ(decoded.ToHost(*backend).value(), result->Dequantized());
}

TEST(QuantizeLinear, EveryPresetRunsAndReportsTheErrorOfWhatItStores) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(40, 320, 1);  // stripes of 256 and 64 columns
  for (const Preset& preset : AllPresets()) {
    for (Compatibility compatibility : {Compatibility::kNone, Compatibility::kReference}) {
      SCOPED_TRACE(testing::Message() << preset.name << " " << Name(compatibility));
      QuantSpec spec = preset.spec;
      spec.compatibility = compatibility;
      spec.em_iterations = 5;
      spec.refinement_passes = 1;

      const auto result = Quantize(*backend, layer, spec);

      ASSERT_TRUE(result.ok()) << result.status();
      ExpectConsistent(layer, *result);
      EXPECT_LT(result->report.relative_error, 0.6);
    }
  }
}

TEST(QuantizeLinear, ShapesThatDivideNothingAreQuantizedWhole) {
  const auto backend = CpuForTests();
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{72, 72}, {24, 72}, {56, 112}, {172, 44},
                                                          {1, 4},   {3, 36},  {5, 924}};
  for (const auto& [rows, cols] : shapes) {
    for (int d : {1, 2, 4}) {
      SCOPED_TRACE(testing::Message() << rows << " x " << cols << ", d " << d);
      const LayerCase layer = RandomLayer(rows, cols, 2);

      const auto result = Quantize(*backend, layer, SmallSpec(d, 2 * d));

      ASSERT_TRUE(result.ok()) << result.status();
      ExpectConsistent(layer, *result);
      EXPECT_LT(result->report.relative_error, 0.12);
    }
  }
}

TEST(QuantizeLinear, EachStageLowersTheError) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(64, 128, 3);
  for (int d : {1, 2, 4}) {
    QuantSpec spec = SmallSpec(d, 2 * d);
    spec.group_weights = 1024 * d;  // more vectors than centroids
    spec.refinement_passes = 12;

    const double sweep = Quantize(*backend, layer, SweepOnly(spec))->report.relative_error;
    QuantSpec without_refinement = spec;
    without_refinement.refinement_passes = 0;
    const double updated = Quantize(*backend, layer, without_refinement)->report.relative_error;
    const LinearResult refined = Quantize(*backend, layer, spec).value();

    EXPECT_LT(updated, 0.99 * sweep) << "d " << d;
    EXPECT_LT(refined.report.relative_error, 0.97 * updated) << "d " << d;
    EXPECT_TRUE(CloseNumber(refined.report.sweep_relative_error, sweep, {1e-6, "the same sweep"}));
    EXPECT_GT(refined.report.refinement_passes, 0);
    EXPECT_GT(refined.report.em_iterations, 1);
    EXPECT_GT(refined.report.update_iterations, 0);
  }
}

// One row and no updates: noise leaves some of them with other assignments, and worse than they were.
TEST(QuantizeLinear, UndoesARefinementThatDidNotLowerTheLoss) {
  const auto backend = CpuForTests();
  int undone = 0;
  for (std::uint64_t stream = 0; stream < 40; ++stream) {
    const LayerCase layer = RandomLayer(1, 64, stream);
    QuantSpec spec = SmallSpec(2, 3);
    spec.update_iterations = 0;
    spec.refinement_passes = 4;
    const LinearResult refined = Quantize(*backend, layer, spec).value();
    if (refined.report.refinement_passes > 0) continue;
    spec.refinement_passes = 0;

    const LinearResult unrefined = Quantize(*backend, layer, spec).value();

    EXPECT_EQ(refined.Dequantized(), unrefined.Dequantized()) << stream;
    ++undone;
  }
  EXPECT_GT(undone, 0);
}

TEST(QuantizeLinear, BeatsTheReferenceAtEqualBits) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(64, 256, 4);
  for (const char* preset : {"1d-2.125bpv", "2d-2.125bpv", "2d-2.125bpv-s64"}) {
    QuantSpec spec = FindPreset(preset).value();
    const LinearResult ours = Quantize(*backend, layer, spec).value();
    spec.compatibility = Compatibility::kReference;
    const LinearResult reference = Quantize(*backend, layer, spec).value();

    EXPECT_EQ(ours.report.bits, reference.report.bits);
    EXPECT_LT(ours.report.relative_error, 0.7 * reference.report.relative_error) << preset;
  }
}

TEST(QuantizeLinear, GivesTheSameBytesForOneTwoOrSevenThreads) {
  const LayerCase layer = RandomLayer(50, 200, 5);
  for (Seeding seeding : {Seeding::kMahalanobis, Seeding::kKMeansPlusPlus}) {
    QuantSpec spec = SmallSpec(2, 4);
    spec.seeding = seeding;
    spec.block_scale_columns = 16;
    const auto bytes = [&](int threads) {
      const auto backend = CpuForTests(threads);
      const LinearResult result = Quantize(*backend, layer, spec).value();
      const auto& linear = std::get<VectorQuantizedLinear>(result.linear);
      const auto& codebooks = std::get<Int8Codebooks>(linear.codebooks);
      return std::tuple(result.Dequantized(), linear.packed_indices, codebooks.codes, codebooks.scales,
                        linear.block_scales.codes, result.report.relative_error);
    };

    const auto one = bytes(1);

    EXPECT_EQ(bytes(2), one);
    EXPECT_EQ(bytes(7), one);
  }
}

TEST(QuantizeLinear, RandomNumbersDependOnSeedAndName) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(32, 64, 6);
  QuantSpec spec = SmallSpec(2, 4);
  spec.seeding = Seeding::kKMeansPlusPlus;

  const std::vector<float> first = Quantize(*backend, layer, spec, 1, "a")->Dequantized();

  EXPECT_EQ(Quantize(*backend, layer, spec, 1, "a")->Dequantized(), first);
  EXPECT_NE(Quantize(*backend, layer, spec, 2, "a")->Dequantized(), first);
  EXPECT_NE(Quantize(*backend, layer, spec, 1, "b")->Dequantized(), first);
}

// Rows of a group are interchangeable: sums run over them in another order, nothing else.
TEST(QuantizeLinear, PermutingTheRowsOfAGroupPermutesTheResult) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(16, 64, 7);
  Dense reversed(16, 64);  // the 8 rows of each group backwards
  for (std::int64_t r = 0; r < 16; ++r) {
    for (std::int64_t c = 0; c < 64; ++c) reversed(r, c) = layer.weights(r / 8 * 8 + 7 - r % 8, c);
  }
  QuantSpec spec = SweepOnly(SmallSpec(2, 3));
  spec.codebook_dtype = CodebookDType::kFp16;

  const LinearResult straight = Quantize(*backend, layer, spec).value();
  const LinearResult permuted = Quantize(*backend, ALayer(reversed, layer.hessian), spec).value();

  int different = 0;
  for (std::int64_t r = 0; r < 16; ++r) {
    for (std::int64_t c = 0; c < 64; ++c) {
      const float a = straight.Dequantized()[r * 64 + c];
      const float b = permuted.Dequantized()[(r / 8 * 8 + 7 - r % 8) * 64 + c];
      different += std::abs(a - b) > 1e-3f * std::abs(a);
    }
  }
  EXPECT_LE(different, 16 * 64 / 100) << "only near ties may fall the other way";
}

TEST(QuantizeLinear, AZeroMatrixStaysZeroAndHasNoError) {
  const auto backend = CpuForTests();
  const LayerCase layer = ALayer(Dense(16, 64), CorrelatedHessian(64, 200, 8));
  for (const char* preset :
       {"1d-2.125bpv", "2d-2.125bpv", "4d-2.25bpv", "2d-2.125bpv-s64", "gptq-3bit-g64", "rtn-4bit-g128"}) {
    const auto result = Quantize(*backend, layer, FindPreset(preset).value());

    ASSERT_TRUE(result.ok()) << preset << ": " << result.status();
    EXPECT_EQ(result->Dequantized(), std::vector<float>(16 * 64, 0.0f)) << preset;
    EXPECT_EQ(result->report.relative_error, 0.0);
  }
}

TEST(QuantizeLinear, DeadColumnsKeepTheirWeights) {
  const auto backend = CpuForTests();
  LayerCase layer = RandomLayer(32, 64, 9);
  for (std::int64_t i = 0; i < 64; ++i) layer.hessian(10, i) = layer.hessian(i, 10) = 0;
  const QuantSpec spec = SmallSpec(2, 5);

  const LinearResult kept = Quantize(*backend, layer, spec).value();
  QuantSpec reference = spec;
  reference.compatibility = Compatibility::kReference;
  const LinearResult zeroed = Quantize(*backend, layer, reference).value();

  EXPECT_EQ(kept.report.dead_columns, 1);
  double weight_square = 0;
  double kept_square = 0;
  double zeroed_square = 0;
  for (std::int64_t r = 0; r < 32; ++r) {
    weight_square += std::pow(layer.weights(r, 10), 2);
    kept_square += std::pow(layer.weights(r, 10) - kept.Dequantized()[r * 64 + 10], 2);
    zeroed_square += std::pow(zeroed.Dequantized()[r * 64 + 10], 2);
  }
  EXPECT_LT(kept_square, 0.5 * weight_square);
  EXPECT_LT(zeroed_square, 0.5 * weight_square) << "the reference approximates a column of zeros";
}

TEST(QuantizeLinear, AHessianThatNoTokenReachedGivesPlainVectorQuantization) {
  const auto backend = CpuForTests();
  const LayerCase layer = ALayer(RandomLayer(32, 64, 10).weights, Dense(64, 64));

  const auto result = Quantize(*backend, layer, SmallSpec(2, 6));

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->report.relative_error, 0.0) << "there is no signal to compare with";
  double square = 0;
  for (double e : ErrorOf(layer, *result).values) square += e * e;
  EXPECT_LT(square / (32 * 64 * 0.05 * 0.05), 0.04);
}

TEST(QuantizeLinear, RefusesAWeightThatIsNotFiniteByRowAndColumn) {
  const auto backend = CpuForTests();
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    LayerCase layer = RandomLayer(16, 64, 11);
    layer.narrow[5 * 64 + 17] = bad;

    const auto result = Quantize(*backend, layer, SmallSpec(2, 4));

    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(result.status().message().find("layers.0.q_proj: the weight at row 5, column 17"), std::string::npos)
        << result.status();
  }
}

TEST(QuantizeLinear, RefusesWeightsWhoseLossOverflows) {
  const auto backend = CpuForTests();
  LayerCase layer = RandomLayer(16, 64, 12);
  for (float& w : layer.narrow) w *= 1e38f;

  const auto result = Quantize(*backend, layer, SmallSpec(2, 4));

  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
}

TEST(QuantizeLinear, RefusesAHessianOfAnotherWidthOrForAnotherSpec) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(16, 64, 13);
  const LayerCase narrower = RandomLayer(16, 32, 14);
  const QuantSpec spec = SmallSpec(2, 4);
  const auto code = [&](const LayerCase& hessian_of, const QuantSpec& hessian_spec) {
    return QuantizeLinear(*backend, "x", layer.View(), Prepare(*backend, hessian_of, hessian_spec), spec, 1, nullptr)
        .status()
        .code();
  };

  EXPECT_EQ(code(layer, spec), absl::StatusCode::kOk);
  EXPECT_EQ(code(narrower, spec), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(layer, SmallSpec(4, 4)), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq
