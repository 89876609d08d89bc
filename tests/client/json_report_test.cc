#include <string>

#include "client/report/job_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_page.h"
#include "tests/client/reports.h"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::IsSubsetOf;

TEST(JsonReport, ItsKeysAreThoseOfTheCliPage) {
  const std::string section = CliPageSection("JSON of `report`");
  ASSERT_NE(section, "");

  const json report = json::parse(JsonReport(AReport(1)));

  EXPECT_EQ(KeysOf(report), TableKeys(section));
  EXPECT_THAT(KeysOf(report["bits_per_value"]), IsSubsetOf(Quoted(section)));
  EXPECT_THAT(KeysOf(report["seconds"]), IsSubsetOf(Quoted(section)));
  EXPECT_THAT(KeysOf(report["perplexity"]), IsSubsetOf(Quoted(section)));
  EXPECT_THAT(KeysOf(report["linears"][0]), IsSubsetOf(Quoted(section)));
}

TEST(JsonReport, SaysWhatWasAskedForAndHowItStands) {
  const json report = json::parse(JsonReport(AReport(1)));

  EXPECT_EQ(report["job_id"], "job-0123456789abcdef");
  EXPECT_EQ(report["state"], "succeeded");
  EXPECT_EQ(report["model"], "file:///models/tiny");
  EXPECT_EQ(report["output"], "file:///results/tiny-vq");
  EXPECT_EQ(report["preset"], "2d-3.125bpv");
  EXPECT_EQ(report["propagation"], "sequential");
  EXPECT_EQ(report["shard_layers"], 0);
  EXPECT_EQ(report["samples"], 16);
  EXPECT_EQ(report["sequence_length"], 1024);
  EXPECT_EQ(report["seed"], 7);
  EXPECT_EQ(report["numerics_class"], "cpu-avx2");
}

TEST(JsonReport, NumbersComeFromTheReport) {
  const json report = json::parse(JsonReport(AReport(2)));

  EXPECT_EQ(report["bits_per_value"], json({{"total", 3.184},
                                            {"indices", 3.0},
                                            {"codebooks", 0.1},
                                            {"codebook_scales", 0.02},
                                            {"block_scales", 0.06},
                                            {"permutation", 0.004}}));
  EXPECT_EQ(report["quantized_weights"], 1000);
  EXPECT_EQ(report["output_bytes"], 123'456'789);
  EXPECT_EQ(report["manifest_sha256"], DigestOf("manifest").hex());
  EXPECT_EQ(report["seconds"], json({{"load", 1.5}, {"quantize", 60.25}, {"evaluate", 7.75}}));
  EXPECT_EQ(report["wall_seconds"], 98.7);
  EXPECT_EQ(report["perplexity"], json({{"source", 10.0}, {"quantized", 10.5}, {"tokens", 4096}}));
  EXPECT_DOUBLE_EQ(report["mean_relative_error"], 0.025);  // of 0.01 to 0.04
  EXPECT_EQ(report["audits"], json({{"agreed", 3}, {"given_up", 1}}));
  EXPECT_EQ(report["linears"].size(), 4u);
}

TEST(JsonReport, LinearsCarryEveryMetric) {
  Report report = AReport(0);
  report.linears = {ALinearReport("model.layers.0.mlp.up_proj")};

  const json linear = json::parse(JsonReport(report))["linears"][0];

  EXPECT_EQ(linear, json({{"name", "model.layers.0.mlp.up_proj"},
                          {"rows", 64},
                          {"cols", 256},
                          {"relative_error", 0.0125},
                          {"sweep_relative_error", 0.02},
                          {"bits_per_value", 52248.0 / 16384},
                          {"damping", 0.03},
                          {"hessian", "diagonal"},
                          {"dead_columns", 3},
                          {"em_iterations", 40},
                          {"update_iterations", 50},
                          {"refinement_passes", 2},
                          {"seconds", linear["seconds"]}}));
  EXPECT_DOUBLE_EQ(linear["seconds"], 1.5);
}

TEST(JsonReport, WhatIsNotKnownYetIsNull) {
  Report report;
  report.spec = AJobSpec();

  const json parsed = json::parse(JsonReport(report));

  EXPECT_EQ(parsed["state"], "pending");
  EXPECT_TRUE(parsed["output_bytes"].is_null());
  EXPECT_TRUE(parsed["manifest_sha256"].is_null());
  EXPECT_TRUE(parsed["mean_relative_error"].is_null());
  EXPECT_EQ(parsed["perplexity"], json({{"source", nullptr}, {"quantized", nullptr}, {"tokens", nullptr}}));
  EXPECT_EQ(parsed["quantized_weights"], 0);
  EXPECT_EQ(parsed["bits_per_value"]["total"], 0);
  EXPECT_EQ(parsed["seconds"], json::object());
  EXPECT_EQ(parsed["audits"], json::object());
  EXPECT_EQ(parsed["linears"], json::array());
}

TEST(JsonReport, HostileNamesAreOnlyText) {
  Report report = AReport(0);
  report.job_id = kHostileName;
  report.spec.model_uri = "not utf-8: \xFF";

  const json parsed = json::parse(JsonReport(report));

  EXPECT_EQ(parsed["job_id"], kHostileName);
  EXPECT_EQ(parsed["model"], "not utf-8: \xEF\xBF\xBD");
}

}  // namespace
}  // namespace gptvq
