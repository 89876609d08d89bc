#include "core/spec/quantized_linear.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "core/base/dtype.h"
#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kCols = 40;  // stripes of 16, 16 and 8 columns

QuantSpec SmallSpec(int vector_dim) {
  QuantSpec spec;
  spec.vector_dim = vector_dim;
  spec.index_bits = 3;
  spec.group_weights = 32;
  spec.columns_per_group = 16;
  return spec;
}

VectorQuantizedLinear RandomVectorLinear(int vector_dim, std::uint64_t stream) {
  TestRandom random(stream);
  VectorQuantizedLinear linear;
  linear.layout = GroupLayout::Make(kRows, kCols, SmallSpec(vector_dim)).value();
  linear.vector_dim = vector_dim;
  linear.index_bits = 3;
  linear.SetAssignments(random.Bytes(kRows * kCols / vector_dim, 8));
  Int8Codebooks codebooks;
  for (std::int64_t i = 0; i < linear.layout.group_count() * 8 * vector_dim; ++i) {
    codebooks.codes.push_back(static_cast<std::int8_t>(random.Below(255) - 127));
  }
  for (std::int64_t g = 0; g < linear.layout.group_count(); ++g) {
    codebooks.scales.push_back(Bf16ToFloat(FloatToBf16(static_cast<float>(random.Uniform()))));
  }
  linear.codebooks = codebooks;
  return linear;
}

UniformQuantizedLinear RandomUniformLinear(std::uint64_t stream) {
  TestRandom random(stream);
  UniformQuantizedLinear linear;
  linear.rows = kRows;
  linear.cols = kCols;
  linear.bits = 3;
  linear.group_columns = 16;
  linear.codes = random.Bytes(kRows * kCols, 8);
  linear.zero_points = random.Bytes(kRows * 3, 8);
  for (int i = 0; i < kRows * 3; ++i) linear.scales.push_back(FloatToHalf(static_cast<float>(random.Uniform())));
  return linear;
}

std::vector<float> Dequantized(const QuantizedLinear& linear) {
  std::vector<float> weights(kRows * kCols, std::numeric_limits<float>::quiet_NaN());
  Dequantize(linear, MatrixView<float>(weights.data(), kRows, kCols));
  return weights;
}

// The group of a weight, from the layout's words: stripes of 16 columns, as many row blocks as fit l = 32.
std::int64_t GroupOf(const VectorQuantizedLinear& linear, std::int64_t row, std::int64_t column) {
  const Stripe& stripe = linear.layout.stripes()[column / 16];
  std::int64_t block = 0;
  while ((block + 1) * kRows / stripe.row_block_count <= row) ++block;
  return stripe.first_group + block;
}

TEST(Dequantize, Int8CodebooksWithBlockScalesFollowTheFormula) {
  for (int d : {1, 2, 4}) {
    VectorQuantizedLinear linear = RandomVectorLinear(d, 10 + d);
    TestRandom random(20);
    linear.block_scales.block_columns = 16;
    linear.block_scales.codes = random.Bytes(kRows * 3, 16);
    linear.block_scales.offsets = {-3.5f, 0.25f, 2.0f};
    linear.block_scales.steps = {0.25f, 0.0f, 0.125f};
    const auto& codebooks = std::get<Int8Codebooks>(linear.codebooks);

    const std::vector<float> weights = Dequantized(linear);

    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kCols; ++c) {
        const std::int64_t group = GroupOf(linear, r, c);
        const int centroid = linear.Assignments()[r * (kCols / d) + c / d];
        const int code = linear.block_scales.codes[r * 3 + c / 16];
        const double scale =
            std::pow(2.0, linear.block_scales.offsets[c / 16] + linear.block_scales.steps[c / 16] * code);
        const double expected = scale * codebooks.codes[(group * 8 + centroid) * d + c % d] * codebooks.scales[group];
        EXPECT_NEAR(weights[r * kCols + c], expected, 1e-6 * std::abs(expected)) << r << ", " << c;
      }
    }
  }
}

TEST(Dequantize, Fp16CodebooksAreReadAsTheyAre) {
  VectorQuantizedLinear linear = RandomVectorLinear(2, 31);
  Fp16Codebooks codebooks;
  TestRandom random(32);
  for (float value : random.Normals(linear.layout.group_count() * 16)) codebooks.entries.push_back(FloatToHalf(value));
  linear.codebooks = codebooks;

  const std::vector<float> weights = Dequantized(linear);

  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      const int centroid = linear.Assignments()[r * (kCols / 2) + c / 2];
      EXPECT_EQ(weights[r * kCols + c],
                HalfToFloat(codebooks.entries[(GroupOf(linear, r, c) * 8 + centroid) * 2 + c % 2]));
    }
  }
}

TEST(Dequantize, SvdCodebooksAreTheProductOfTheirFactors) {
  VectorQuantizedLinear linear = RandomVectorLinear(1, 33);
  SvdCodebooks codebooks;
  codebooks.rank = 2;
  TestRandom random(34);
  for (int i = 0; i < linear.layout.group_count() * 2; ++i) {
    codebooks.codes.push_back(static_cast<std::int8_t>(random.Below(255) - 127));
  }
  codebooks.basis = random.Normals(2 * 8);
  linear.codebooks = codebooks;

  const std::vector<float> weights = Dequantized(linear);

  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      const std::int64_t group = GroupOf(linear, r, c);
      const int centroid = linear.Assignments()[r * kCols + c];
      const double a = codebooks.codes[group * 2] * static_cast<double>(codebooks.basis[centroid]);
      const double b = codebooks.codes[group * 2 + 1] * static_cast<double>(codebooks.basis[8 + centroid]);
      EXPECT_NEAR(weights[r * kCols + c], a + b, 1e-6 * (std::abs(a) + std::abs(b)));
    }
  }
}

TEST(Dequantize, UniformCodesLandOnTheColumnsThatThePermutationNames) {
  UniformQuantizedLinear linear = RandomUniformLinear(35);
  for (std::int32_t i = 0; i < kCols; ++i) linear.permutation.push_back((i * 7 + 3) % kCols);

  const std::vector<float> weights = Dequantized(linear);

  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t i = 0; i < kCols; ++i) {
      const std::int64_t group = r * 3 + i / 16;
      const float expected = HalfToFloat(linear.scales[group]) *
                             static_cast<float>(linear.codes[r * kCols + i] - linear.zero_points[group]);
      EXPECT_EQ(weights[r * kCols + (i * 7 + 3) % kCols], expected);
    }
  }
}

TEST(QuantizedLinear, AcceptsWhatIsWellFormed) {
  EXPECT_TRUE(ValidateQuantizedLinear(RandomVectorLinear(2, 40)).ok());
  EXPECT_TRUE(ValidateQuantizedLinear(RandomUniformLinear(41)).ok());
}

TEST(QuantizedLinear, RefusesEachBrokenVectorArrayByName) {
  struct Case {
    const char* named;
    std::function<void(VectorQuantizedLinear&)> spoil;
  };
  const auto int8 = [](VectorQuantizedLinear& l) -> Int8Codebooks& { return std::get<Int8Codebooks>(l.codebooks); };
  const Case cases[] = {
      {"packed indices", [](auto& l) { l.packed_indices.pop_back(); }},
      {"packed indices: padding bits of byte 7 ",
       [](auto& l) { l.packed_indices[7] |= 0x10; }},  // 4 x 3 bits: the last stripe of row 0
      {"codebook codes", [&](auto& l) { int8(l).codes.push_back(0); }},
      {"codebook scale", [&](auto& l) { int8(l).scales[0] = std::numeric_limits<float>::infinity(); }},
      {"codebook scale", [&](auto& l) { int8(l).scales[0] = -1; }},
      {"codebook scale", [&](auto& l) { int8(l).scales[0] = 1.0f / 3; }},  // not a BF16 value
      {"block scale codes", [](auto& l) { l.block_scales.block_columns = 16; }},
      {"vector dimension", [](auto& l) { l.index_bits = 9; }},
  };
  for (const Case& broken : cases) {
    VectorQuantizedLinear linear = RandomVectorLinear(2, 42);
    broken.spoil(linear);
    const absl::Status status = ValidateQuantizedLinear(linear);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << broken.named;
    EXPECT_NE(status.message().find(broken.named), std::string::npos) << status;
  }
}

TEST(QuantizedLinear, RefusesEachBrokenUniformArrayByName) {
  struct Case {
    const char* named;
    std::function<void(UniformQuantizedLinear&)> spoil;
  };
  const Case cases[] = {
      {"codes", [](auto& l) { l.codes[0] = 8; }},
      {"scales", [](auto& l) { l.scales[1] = 0x7c00; }},  // infinity
      {"zero points", [](auto& l) { l.zero_points.clear(); }},
      {"permutation",
       [](auto& l) {
         l.permutation = {1, 2, 3};
       }},
      {"permutation", [](auto& l) { l.permutation.assign(kCols, 0); }},
      {"permutation", [](auto& l) { l.permutation.assign(kCols, -1); }},
  };
  for (const Case& broken : cases) {
    UniformQuantizedLinear linear = RandomUniformLinear(43);
    broken.spoil(linear);
    const absl::Status status = ValidateQuantizedLinear(linear);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << broken.named;
    EXPECT_NE(status.message().find(broken.named), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace gptvq
