#include "core/format/packed_layout.h"

#include <string>
#include <vector>

#include "core/format/format_version.h"
#include "core/format/spec_json.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

// docs/format.md 7.2 and 7.3.
TEST(PackedModules, AreWrittenAsThePageSays) {
  const PackedLayout layout = LayoutOf(*FindPreset("2d-3.125bpv-s64"));
  const PackedModules modules{layout, {{"a", 4, 6, layout}, {"b", 2, 8, UniformLayout{4, 128, true}}}};

  EXPECT_EQ(PackedModulesText(modules),
            R"({"layout":{"block_scale_columns":64,"codebook":"int8","columns_per_group":256,"group_weights":16384,)"
            R"("index_bits":6,"kind":"vector","svd_rank":0,"vector_dim":2},"modules":{"a":{"shape":[4,6]},)"
            R"("b":{"layout":{"bits":4,"group_columns":128,"kind":"uniform","permuted":true},"shape":[2,8]}}})");
}

TEST(PackedModules, ComeBackForEveryPreset) {
  QuantSpec svd = *FindPreset("1d-3.125bpv");
  svd.svd_rank_fraction = 0.3;
  std::vector<QuantSpec> specs = {svd};
  for (const Preset& preset : AllPresets()) specs.push_back(preset.spec);
  for (const QuantSpec& spec : specs) {
    const PackedLayout layout = LayoutOf(spec);
    const PackedModules modules{layout, {{"m.x", 3, 7, layout}}};

    const auto parsed = ParsePackedModules(PackedModulesText(modules));

    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, modules);
  }
  EXPECT_EQ(std::get<VectorLayout>(LayoutOf(svd)).svd_rank, 3);  // ceil(0.3 * 8)
}

TEST(PackedModules, RefuseWhatThePageDoesNotAllow) {
  const std::string good =
      PackedModulesText({LayoutOf(*FindPreset("2d-3.125bpv")), {{"m", 4, 6, LayoutOf(*FindPreset("2d-3.125bpv"))}}});
  struct Row {
    const char* from;
    const char* to;
    const char* message;
  };
  const Row rows[] = {
      {"\"vector_dim\":2", "\"vector_dim\":3", "vector_dim is 3"},
      {"\"vector_dim\":2", "\"vector_dim\":2.0", "layout.vector_dim"},
      {"\"vector_dim\":2", "\"vector_dim\":\"2\"", "layout.vector_dim"},
      {"\"vector_dim\":2", "\"vector_dim\":-2", "layout.vector_dim"},
      {"\"vector_dim\":2", "\"vector\":2", "layout.vector_dim"},
      {"\"index_bits\":6", "\"index_bits\":9", "index_bits is 9"},
      {"\"index_bits\":6", "\"index_bits\":4294967302", "layout.index_bits"},
      {"\"group_weights\":8192", "\"group_weights\":0", "group_weights is 0"},
      {"\"group_weights\":8192", "\"group_weights\":99999999999", "layout.group_weights"},
      {"\"columns_per_group\":256", "\"columns_per_group\":100", "columns_per_group is 100"},
      {"\"block_scale_columns\":0", "\"block_scale_columns\":7", "block_scale_columns is 7"},
      {"\"codebook\":\"int8\"", "\"codebook\":\"int4\"", "layout.codebook"},
      {"\"svd_rank\":0", "\"svd_rank\":1", "svd_rank"},
      {"\"codebook\":\"int8\"", "\"codebook\":\"svd\"", "vector_dim 1"},
      {"\"kind\":\"vector\"", "\"kind\":\"lattice\"", "layout.kind"},
      {"\"shape\":[4,6]", "\"shape\":[4]", "module 'm': shape"},
      {"\"shape\":[4,6]", "\"shape\":[0,6]", "module 'm': shape"},
      {"\"shape\":[4,6]", "\"shape\":[4,2147483649]", "module 'm': shape"},
      {"\"shape\":[4,6]", "\"shape\":[4,6],\"layout\":7", "module 'm': layout.kind"},
      {"\"modules\":{\"m\":{\"shape\":[4,6]}}", "\"modules\":[]", "not an object with layout and modules"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.to);
    std::string text = good;
    ASSERT_NE(text.find(row.from), std::string::npos) << text;
    text.replace(text.find(row.from), std::string(row.from).size(), row.to);

    const auto parsed = ParsePackedModules(text);

    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(row.message));
  }
}

TEST(QuantSpecText, ComesBackForEveryPresetAndForOddFields) {
  QuantSpec odd;
  odd.seeding = Seeding::kKMeansPlusPlus;
  odd.compatibility = Compatibility::kReference;
  odd.layer_order = LayerOrder::kOnePass;
  odd.damping = 0.1 + 0.2;
  odd.em_iterations = 0;
  std::vector<QuantSpec> specs = {odd};
  for (const Preset& preset : AllPresets()) specs.push_back(preset.spec);
  for (const QuantSpec& spec : specs) {
    const auto parsed = ParseQuantSpec(QuantSpecText(spec));

    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, spec);
  }
}

TEST(QuantSpecText, RefusesValuesOfTheWrongKind) {
  for (const char* text :
       {"{\"method\":\"aqlm\"}", "{\"method\":1}", "{\"index_bits\":6.5}", "{\"index_bits\":-1}",
        "{\"index_bits\":4294967300}", "{\"damping\":\"x\"}", "{\"act_order\":0}", "[]", "{\"damping\":2}"}) {
    EXPECT_EQ(ParseQuantSpec(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(*ParseQuantSpec("{\"later_field\":1}"), QuantSpec());
}

// docs/format.md 1.2.
TEST(FormatVersion, AcceptsItsMajorAlone) {
  EXPECT_TRUE(CheckFormatVersion("1.0").ok());
  EXPECT_TRUE(CheckFormatVersion("1.17").ok());
  for (const char* other : {"2.0", "0.9", "10.0"}) {
    EXPECT_EQ(CheckFormatVersion(other).code(), absl::StatusCode::kUnimplemented) << other;
  }
  for (const char* text : {"", "1", "1.", ".0", "1.0.0", "01.0", "1.x", "v1.0", "1 .0", "1.0000000000"}) {
    EXPECT_EQ(CheckFormatVersion(text).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace gptvq
