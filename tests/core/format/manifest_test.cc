#include "core/format/manifest.h"

#include <limits>
#include <string>

#include "core/base/file.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

Manifest AManifest() {
  LinearReport report;
  report.name = "model.layers.0.mlp.up_proj";
  report.rows = 4;
  report.cols = 6;
  report.bits = {.weights = 24, .index_bits = 96, .codebook_bits = 1024, .codebook_scale_bits = 16};
  report.relative_error = 0.1;
  report.sweep_relative_error = 0.125;
  report.damping = 0.01;
  report.hessian_policy = HessianPolicy::kDiagonalOnly;
  report.dead_columns = 1;
  report.em_iterations = 17;
  report.update_iterations = 75;
  report.refinement_passes = 3;
  report.seconds.sweep = 12.5;
  Manifest manifest;
  manifest.facts.tool_version = "0.1.0";
  manifest.facts.spec = *FindPreset("2d-3.125bpv");
  manifest.facts.seed = std::numeric_limits<std::uint64_t>::max();
  manifest.facts.calibration = Digest::Of(AsBytes("tokens"));
  manifest.facts.propagation = "sequential";
  manifest.facts.shard_layers = 30;
  manifest.facts.numerics_class = "cpu-f32";
  manifest.facts.source_files = {{"model.safetensors", Digest::Of(AsBytes("weights"))}};
  manifest.facts.linears = {report};
  manifest.bits = report.bits;
  manifest.files = {{"model.safetensors", Digest::Of(AsBytes("packed"))}, {"config.json", Digest::Of(AsBytes("{}"))}};
  return manifest;
}

TEST(Manifest, ComesBackWithoutItsSeconds) {
  const Manifest manifest = AManifest();

  const auto parsed = ParseManifest(*ManifestText(manifest));

  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->facts.spec, manifest.facts.spec);
  EXPECT_EQ(parsed->facts.seed, manifest.facts.seed);
  EXPECT_EQ(parsed->facts.calibration, manifest.facts.calibration);
  EXPECT_EQ(parsed->facts.source_files, manifest.facts.source_files);
  EXPECT_EQ(parsed->facts.numerics_class, "cpu-f32");
  EXPECT_EQ(parsed->files, manifest.files);
  EXPECT_EQ(parsed->bits, manifest.bits);
  ASSERT_EQ(parsed->facts.linears.size(), 1u);
  const LinearReport& report = parsed->facts.linears[0];
  EXPECT_EQ(report.name, "model.layers.0.mlp.up_proj");
  EXPECT_EQ(report.relative_error, 0.1);
  EXPECT_EQ(report.hessian_policy, HessianPolicy::kDiagonalOnly);
  EXPECT_EQ(report.update_iterations, 75);
  EXPECT_EQ(report.bits, manifest.bits);
  EXPECT_EQ(report.seconds.total(), 0);
}

// docs/format.md 9.2: what differs from run to run is not in it.
TEST(Manifest, DoesNotDependOnSecondsOrOnTheOrderOfReports) {
  Manifest a = AManifest();
  a.facts.linears.push_back(a.facts.linears[0]);
  a.facts.linears[1].name = "model.layers.1.mlp.up_proj";
  Manifest b = a;
  std::swap(b.facts.linears[0], b.facts.linears[1]);
  b.facts.linears[0].seconds.factor = 99;

  EXPECT_EQ(*ManifestText(a), *ManifestText(b));
}

TEST(Manifest, RefusesMetricsThatAreNotFinite) {
  Manifest manifest = AManifest();
  manifest.facts.linears[0].relative_error = std::numeric_limits<double>::quiet_NaN();

  const auto text = ManifestText(manifest);

  EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("model.layers.0.mlp.up_proj"));
}

// D90.
TEST(Manifest, RefusesWhatItDoesNotKnow) {
  const std::string good = *ManifestText(AManifest());
  struct Row {
    std::string from;
    std::string to;
    absl::StatusCode code;
    std::string message;
  };
  const Row rows[] = {
      {"\"format_version\": \"1.0\"", "\"format_version\": \"2.0\"", absl::StatusCode::kUnimplemented,
       "format_version 2.0"},
      {"\"format_version\": \"1.0\"", "\"format_version\": 1.0", absl::StatusCode::kInvalidArgument,
       "format_version is not a string"},
      {"\"config.json\": {", "\"../config.json\": {", absl::StatusCode::kInvalidArgument,
       "files names \"../config.json\""},
      {"\"config.json\": {", "\"/etc/passwd\": {", absl::StatusCode::kInvalidArgument, "files names \"/etc/passwd\""},
      {"\"seed\": 18446744073709551615", "\"seed\": -1", absl::StatusCode::kInvalidArgument, "seed is not an integer"},
      {"\"shard_layers\": 30", "\"shard_layers\": 4294967296", absl::StatusCode::kInvalidArgument,
       "shard_layers is too large"},
      {"\"calibration\": {", "\"calibrations\": {", absl::StatusCode::kInvalidArgument, "calibration is not an object"},
      {"\"method\": \"gptvq\"", "\"method\": \"magic\"", absl::StatusCode::kInvalidArgument, "spec.method"},
      {"diagonal-only", "diagonal", absl::StatusCode::kInvalidArgument, "hessian_policy"},
      {"\"relative_error\": 0.1", "\"relative_error\": \"0.1\"", absl::StatusCode::kInvalidArgument,
       "linears.model.layers.0"},
      {"\"bytes\": 2", "\"bytes\": 2.5", absl::StatusCode::kInvalidArgument, "files.config.json.bytes"},
      {"\"sha256\": \"44136", "\"sha256\": \"G4136", absl::StatusCode::kInvalidArgument, "files.config.json"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.to);
    std::string text = good;
    ASSERT_NE(text.find(row.from), std::string::npos) << text;
    text.replace(text.find(row.from), row.from.size(), row.to);

    const auto manifest = ParseManifest(text);

    EXPECT_EQ(manifest.status().code(), row.code);
    EXPECT_THAT(std::string(manifest.status().message()), HasSubstr(row.message));
  }
  EXPECT_FALSE(ParseManifest("[]").ok());
  EXPECT_FALSE(ParseManifest("{").ok());
}

// docs/format.md 1.2.
TEST(Manifest, IgnoresKeysOfALaterMinorVersion) {
  std::string text = *ManifestText(AManifest());
  text.replace(text.find("\"1.0\""), 5, "\"1.7\"");
  text.replace(text.find("\"seed\""), 6, "\"later\": {\"x\": []}, \"seed\"");

  EXPECT_TRUE(ParseManifest(text).ok());
}

}  // namespace
}  // namespace gptvq
