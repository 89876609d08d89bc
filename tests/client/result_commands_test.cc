#include "client/commands/result_commands.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/linear_files.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A copy of a result that was written once and is kept (tests/golden), and what a command printed about it.
struct ResultCommands : testing::Test {
  ResultCommands() {
    std::filesystem::copy(std::string(GPTVQ_SOURCE_DIR) + "/tests/golden/1.0/int8-block-scales/result",
                          directory.Join("result"));
    std::ifstream(directory.Join("result/gptvq_manifest.json")) >> manifest;
  }

  TemporaryDirectory directory;
  const std::string result = directory.Join("result");
  json manifest;
  std::ostringstream out, err;
  Terminal terminal{out, err};
};

TEST_F(ResultCommands, VerifyCountsWhatItChecked) {
  EXPECT_EQ(VerifyResult(Storage({}), result, terminal), ExitCode::kOk);

  EXPECT_THAT(out.str(), HasSubstr("ok: " + std::to_string(manifest["files"].size()) + " files, "));
  EXPECT_THAT(out.str(), HasSubstr(std::to_string(manifest["linears"].size()) + " packed linears, manifest "));
  EXPECT_EQ(err.str(), "");
}

TEST_F(ResultCommands, VerifyNamesEachDamagedFile) {
  std::filesystem::remove(result + "/tokenizer.json");
  std::fstream weights(result + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-1, std::ios::end).put('\x7f');
  weights.close();

  EXPECT_EQ(VerifyResult(Storage({}), result, terminal), ExitCode::kJobFailed);

  EXPECT_THAT(err.str(), HasSubstr("error: tokenizer.json"));
  EXPECT_THAT(err.str(), HasSubstr("error: model.safetensors"));
  EXPECT_THAT(err.str(), HasSubstr(" failures\n"));
  EXPECT_EQ(out.str(), "");
}

TEST_F(ResultCommands, InspectAsJsonShowsTheManifest) {
  EXPECT_EQ(InspectResult(Storage({}), result, OutputFormat::kJson, terminal), ExitCode::kOk);

  const json shown = json::parse(out.str());
  EXPECT_EQ(shown["method"], "gptvq");
  EXPECT_EQ(shown["quantized_weights"], manifest["bits"]["weights"]);
  EXPECT_EQ(shown["packed_linears"], manifest["linears"].size());
  ASSERT_EQ(shown["linears"].size(), manifest["linears"].size());
  for (const json& linear : shown["linears"]) {
    const json& expected = manifest["linears"][linear["name"].get<std::string>()];
    EXPECT_EQ(linear["rows"], expected["rows"]);
    EXPECT_EQ(linear["cols"], expected["cols"]);
    EXPECT_EQ(linear["relative_error"], expected["relative_error"]);
  }
}

TEST_F(ResultCommands, InspectAsTextShowsThePartsOfTheBits) {
  EXPECT_EQ(InspectResult(Storage({}), result, OutputFormat::kText, terminal), ExitCode::kOk);

  EXPECT_THAT(out.str(), HasSubstr("method             gptvq\n"));
  EXPECT_THAT(out.str(), HasSubstr("d = 2, K = 8, 300 weights per codebook, int8 codebooks\n"));
  EXPECT_THAT(out.str(), HasSubstr("bits per value"));
  EXPECT_THAT(out.str(), HasSubstr("manifest sha256"));
}

TEST_F(ResultCommands, WhatIsNoResultIsNotFound) {
  EXPECT_EQ(InspectResult(Storage({}), directory.path(), OutputFormat::kText, terminal), ExitCode::kNotFound);
  EXPECT_EQ(InspectResult(Storage({}), directory.Join("none"), OutputFormat::kText, terminal), ExitCode::kNotFound);
  EXPECT_EQ(VerifyResult(Storage({}), directory.Join("none"), terminal), ExitCode::kNotFound);
  EXPECT_EQ(out.str(), "");
}

TEST_F(ResultCommands, ExportWritesPlainWeightsOfTheDtype) {
  const std::string output = directory.Join("plain");

  EXPECT_EQ(ExportResult(Storage({}), {result, "dequantized", "fp32", output}, terminal), ExitCode::kOk) << err.str();

  EXPECT_EQ(out.str(), output + "\n");
  const SafetensorsReader plain = OpenTensors(output + "/model.safetensors");
  for (const auto& [name, linear] : manifest["linears"].items()) {
    const StoredTensor* weight = plain.Find(name + ".weight");
    ASSERT_NE(weight, nullptr) << name;
    EXPECT_EQ(weight->info.dtype, DType::kF32);
    EXPECT_EQ(weight->info.shape, (std::vector<std::int64_t>{linear["rows"], linear["cols"]}));
  }
}

TEST_F(ResultCommands, ExportRefusesUnknownFormatsAndTypesBeforeItWrites) {
  const std::string output = directory.Join("plain");

  EXPECT_EQ(ExportResult(Storage({}), {result, "gguf", "bf16", output}, terminal), ExitCode::kUsage);
  EXPECT_EQ(ExportResult(Storage({}), {result, "dequantized", "int4", output}, terminal), ExitCode::kUsage);

  EXPECT_THAT(err.str(), HasSubstr("--format is 'gguf'; allowed: dequantized\n"));
  EXPECT_THAT(err.str(), HasSubstr("--dtype is 'int4'; allowed: bf16, fp16, fp32\n"));
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST_F(ResultCommands, ExportOfWhatIsNoResultWritesNothing) {
  const std::string output = directory.Join("plain");

  EXPECT_EQ(ExportResult(Storage({}), {directory.Join("none"), "dequantized", "bf16", output}, terminal),
            ExitCode::kNotFound);

  EXPECT_FALSE(std::filesystem::exists(output));
}

}  // namespace
}  // namespace gptvq
