#include "core/spec/presets.h"

#include <cmath>
#include <cstdlib>
#include <set>
#include <string>

#include "core/spec/bits_per_value.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

constexpr std::int64_t kRows = 512;
constexpr std::int64_t kCols = 512;

// A linear of zeros in the packed form of `spec`, with the sizes written out once more.
VectorQuantizedLinear ZeroLinear(const QuantSpec& spec) {
  VectorQuantizedLinear linear;
  linear.layout = GroupLayout::Make(kRows, kCols, spec).value();
  linear.vector_dim = spec.vector_dim;
  linear.index_bits = spec.index_bits;
  linear.SetAssignments(std::vector<std::uint8_t>(kRows * kCols / spec.vector_dim));
  const std::size_t entries = linear.layout.group_count() * (spec.vector_dim << spec.index_bits);
  if (spec.codebook_dtype == CodebookDType::kInt8) {
    linear.codebooks =
        Int8Codebooks{std::vector<std::int8_t>(entries), std::vector<float>(linear.layout.group_count())};
  } else {
    linear.codebooks = Fp16Codebooks{std::vector<std::uint16_t>(entries)};
  }
  if (spec.block_scale_columns > 0) {
    const std::int64_t blocks = kCols / spec.block_scale_columns;
    linear.block_scales.block_columns = spec.block_scale_columns;
    linear.block_scales.codes.resize(kRows * blocks);
    linear.block_scales.offsets.resize(blocks);
    linear.block_scales.steps.resize(blocks);
  }
  return linear;
}

// The number in the middle of a name such as 2d-3.125bpv-s64.
double BitsInName(const std::string& name) { return std::strtod(name.c_str() + name.find('-') + 1, nullptr); }

TEST(Presets, CountTheBitsOfTheirNamesPlusWhatThePublishedFormulaLeavesOut) {
  for (const Preset& preset : AllPresets()) {
    const QuantSpec& spec = preset.spec;
    if (spec.method != QuantMethod::kGptvq) continue;
    SCOPED_TRACE(preset.name);

    const BitCount count = CountBits(ZeroLinear(spec));

    const double codebook_scales = spec.codebook_dtype == CodebookDType::kInt8 ? 16.0 / spec.group_weights : 0.0;
    const double scale_parameters = spec.block_scale_columns > 0 ? 64.0 / (kRows * spec.block_scale_columns) : 0.0;
    EXPECT_NEAR(count.bits_per_value(), BitsInName(preset.name) + codebook_scales + scale_parameters, 1e-12);
    EXPECT_EQ(count.weights, kRows * kCols);
  }
}

// Rows of the published table (scripts of the paper): name, wbits, d, K, l, N_s.
TEST(Presets, HaveThePublishedSettings) {
  struct Row {
    const char* name;
    int d;
    int k;
    std::int64_t l;
    int scale_columns;
  };
  const Row rows[] = {{"1d-2.125bpv", 1, 4, 256, 0},
                      {"1d-2.125bpv-s64", 1, 4, 512, 64},
                      {"1d-2.25bpv", 1, 4, 128, 0},
                      {"1d-2.1875bpv-s64", 1, 4, 256, 64},
                      {"2d-2.125bpv", 2, 16, 2048, 0},
                      {"2d-2.125bpv-s64", 2, 16, 4096, 64},
                      {"2d-2.25bpv", 2, 16, 1024, 0},
                      {"2d-2.1875bpv-s64", 2, 16, 2048, 64},
                      {"4d-2.125bpv", 4, 256, 65536, 0},
                      {"4d-2.25bpv", 4, 256, 32768, 0},
                      {"4d-2.1875bpv-s64", 4, 256, 65536, 64},
                      {"1d-3.125bpv", 1, 8, 512, 0},
                      {"1d-3.125bpv-s64", 1, 8, 1024, 64},
                      {"2d-3.125bpv", 2, 64, 8192, 0},
                      {"2d-3.125bpv-s64", 2, 64, 16384, 64},
                      {"1d-4.125bpv", 1, 16, 1024, 0},
                      {"1d-4.125bpv-s64", 1, 16, 2048, 64},
                      {"2d-4.125bpv", 2, 256, 32768, 0},
                      {"2d-4.125bpv-s64", 2, 256, 65536, 64}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto spec = FindPreset(row.name);
    ASSERT_TRUE(spec.ok());
    EXPECT_EQ(spec->vector_dim, row.d);
    EXPECT_EQ(spec->centroid_count(), row.k);
    EXPECT_EQ(spec->group_weights, row.l);
    EXPECT_EQ(spec->columns_per_group, 256);
    EXPECT_EQ(spec->block_scale_columns, row.scale_columns);
    EXPECT_EQ(spec->codebook_dtype, CodebookDType::kInt8);
  }
}

TEST(Presets, AreValidAndNamedOnce) {
  std::set<std::string> names;
  for (const Preset& preset : AllPresets()) {
    EXPECT_TRUE(preset.spec.Validate().ok()) << preset.name << ": " << preset.spec.Validate();
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
  }
}

TEST(Presets, SuggestTheNearestNamesForAMisspeltOne) {
  const auto spec = FindPreset("2d-3.125bvp");

  EXPECT_EQ(spec.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(spec.status().message().find("2d-3.125bpv"), std::string::npos) << spec.status();
}

TEST(Presets, SurviveAnAbsurdlyLongName) {
  EXPECT_EQ(FindPreset(std::string(1 << 20, 'x')).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace gptvq
