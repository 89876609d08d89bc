#include "core/format/verify.h"

#include <string>
#include <vector>

#include "core/format/export_dequantized.h"
#include "core/format/inspect.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/format/finished_job.h"

namespace gptvq {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Result {
  explicit Result(const QuantSpec& spec = *FindPreset("2d-3.125bpv-s64")) : job(spec) {
    EXPECT_TRUE(job.Assemble(directory).ok());
  }
  void Edit(const std::string& file, const std::string& from, const std::string& to) {
    std::string text = FileText(directory, file);
    ASSERT_NE(text.find(from), std::string::npos) << text;
    text.replace(text.find(from), from.size(), to);
    directory.Put(file, text);
  }
  // Goes on with a copy of the directory that lacks one file.
  void Remove(const std::string& file) {
    without = std::make_unique<MemoryDirectory>("without");
    for (const std::string& name : FileNames(directory)) {
      if (name != file) without->Put(name, FileText(directory, name));
    }
  }
  std::vector<std::string> Failures() {
    const auto verification = VerifyCheckpoint(without != nullptr ? *without : directory);
    EXPECT_TRUE(verification.ok()) << verification.status();
    return verification->failures;
  }

  FinishedJob job;
  MemoryDirectory directory{"result"};
  std::unique_ptr<MemoryDirectory> without;
};

TEST(VerifyCheckpoint, FindsNothingWrongWithAResult) {
  for (const char* preset : {"2d-3.125bpv-s64", "2d-2.125bpv-fp16", "rtn-4bit-g128"}) {
    Result result(*FindPreset(preset));

    const auto verification = VerifyCheckpoint(result.directory);

    ASSERT_TRUE(verification.ok()) << verification.status();
    EXPECT_THAT(verification->failures, IsEmpty());
    EXPECT_EQ(verification->files_checked, 4u);
    EXPECT_EQ(verification->linears_checked, 6u);
    EXPECT_EQ(verification->manifest, Digest::Of(AsBytes(FileText(result.directory, "gptvq_manifest.json"))));
  }
}

// D91: one bit, wherever it is.
TEST(VerifyCheckpoint, NamesTheFileWithAFlippedBit) {
  Result result;
  const std::string good = FileText(result.directory, "model.safetensors");
  for (std::size_t position = 0; position < good.size(); position += 997) {
    std::string damaged = good;
    damaged[position] ^= 0x10;
    result.directory.Put("model.safetensors", damaged);

    EXPECT_THAT(result.Failures(), Contains(HasSubstr("model.safetensors: SHA-256"))) << position;
  }
}

TEST(VerifyCheckpoint, NamesEveryMissingExtraAndShortFile) {
  Result result;
  result.directory.Put("extra.safetensors", "x");
  result.directory.Put("notes.txt", "x");
  result.directory.Put("README.md", "allowed");
  result.directory.Put("gptvq_report.json", "allowed");
  result.directory.Put(".gitattributes", "allowed");
  result.directory.Put("generation_config.json", "");
  result.Remove("tokenizer.json");

  EXPECT_THAT(result.Failures(),
              UnorderedElementsAre(HasSubstr("tokenizer.json: missing"), HasSubstr("generation_config.json: 0 bytes"),
                                   HasSubstr("extra.safetensors: is not in the manifest"),
                                   HasSubstr("notes.txt: is not in the manifest")));
}

TEST(VerifyCheckpoint, NamesAMissingOrBrokenManifest) {
  Result missing;
  missing.Remove("gptvq_manifest.json");
  EXPECT_THAT(missing.Failures(), ElementsAre(HasSubstr("gptvq_manifest.json is missing")));

  Result broken;
  broken.directory.Put("gptvq_manifest.json", "{");
  EXPECT_THAT(broken.Failures(), ElementsAre(HasSubstr("gptvq_manifest.json: ")));

  Result future;
  future.Edit("gptvq_manifest.json", "\"format_version\": \"1.0\"", "\"format_version\": \"3.1\"");
  EXPECT_THAT(future.Failures(), ElementsAre(HasSubstr("format_version 3.1 is not known")));

  Result escaping;
  escaping.Edit("gptvq_manifest.json", "\"tokenizer.json\"", "\"../tokenizer.json\"");
  EXPECT_THAT(escaping.Failures(), ElementsAre(HasSubstr("../tokenizer.json")));
}

// What digests can not see: the manifest was made for a result that is wrong in itself.
TEST(VerifyCheckpoint, NamesContradictionsOfConfigurationAndTensors) {
  const auto failures_of_config = [](const std::string& from, const std::string& to) {
    Result result;
    result.Edit("config.json", from, to);
    return result.Failures();
  };

  EXPECT_THAT(failures_of_config("\"gptvq\"", "\"gptq\""), Contains(HasSubstr("quant_method is 'gptq'")));
  EXPECT_THAT(failures_of_config("\"model.layers.0.mlp.down_proj\"", "\"model.layers.0.mlp.up_proj\""),
              Contains(HasSubstr("model.layers.0.mlp.up_proj.vq_")));
  EXPECT_THAT(failures_of_config("\"index_bits\": 6", "\"index_bits\": 5"), Contains(HasSubstr("its layout needs")));
  EXPECT_THAT(failures_of_config("\"format_version\": \"1.0\"", "\"format_version\": \"2.0\""),
              Contains(HasSubstr("format_version 2.0")));

  Result miscounted;
  miscounted.Edit("gptvq_manifest.json", "\"weights\": 19584", "\"weights\": 19585");
  EXPECT_THAT(miscounted.Failures(), ElementsAre(HasSubstr("states")));
}

TEST(InspectCheckpoint, SumsUpAResult) {
  Result result;

  const auto summary = InspectCheckpoint(result.directory);

  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->manifest.facts.spec, result.job.spec());
  EXPECT_EQ(summary->manifest.facts.linears.size(), 6u);
  EXPECT_EQ(summary->modules.size(), 6u);
  EXPECT_EQ(8 * static_cast<std::int64_t>(summary->packed_bytes), summary->manifest.bits.total_bits());
  std::uint64_t bytes = 0;
  for (const std::string& file : FileNames(result.directory)) bytes += FileText(result.directory, file).size();
  EXPECT_EQ(summary->output_bytes, bytes);
}

TEST(ExportDequantized, WritesAPlainModelOfRoundedWeights) {
  for (DType dtype : {DType::kBf16, DType::kF16, DType::kF32}) {
    SCOPED_TRACE(std::string(DTypeName(dtype)));
    Result result;
    MemoryDirectory plain;

    ASSERT_TRUE(ExportDequantized(result.directory, {.dtype = dtype, .max_shard_bytes = 10'000}, plain).ok());

    const auto checkpoint = Checkpoint::Open(plain);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_GT(checkpoint->shards().size(), 1u);
    for (const NamedLinear& named : result.job.linears()) {
      std::vector<float> expected(kJobRows * kJobCols);
      Dequantize(named.linear, MatrixView<float>(expected.data(), kJobRows, kJobCols));
      if (dtype == DType::kBf16) {
        for (float& value : expected) value = Bf16ToFloat(FloatToBf16(value));
      } else if (dtype == DType::kF16) {
        for (float& value : expected) value = HalfToFloat(FloatToHalf(value));
      }
      std::vector<float> read(expected.size());
      ASSERT_TRUE(checkpoint->ReadAll(named.name + ".weight", absl::MakeSpan(read)).ok());
      EXPECT_EQ(checkpoint->Get(named.name + ".weight")->dtype, dtype);
      EXPECT_EQ(read, expected) << named.name;
    }
    EXPECT_EQ(checkpoint->TensorNames(), Checkpoint::Open(result.job.source())->TensorNames());
    EXPECT_EQ(FileText(plain, "tokenizer.json"), FileText(result.job.source(), "tokenizer.json"));
    std::string expected_config = FileText(result.job.source(), "config.json");
    const std::string name = dtype == DType::kBf16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
    expected_config.replace(expected_config.find("float32"), 7, name);
    EXPECT_EQ(FileText(plain, "config.json"), expected_config);
  }
}

TEST(ExportDequantized, RefusesWeightsBeyondHalf) {
  QuantSpec spec = *FindPreset("2d-2.125bpv");
  Result result(spec);
  std::string file = FileText(result.directory, "model.safetensors");
  const auto checkpoint = Checkpoint::Open(result.directory);
  const StoredTensor* scales = checkpoint->shards()[0].Find("model.layers.0.mlp.down_proj.vq_codebook_scales");
  file[scales->file_offset] = 0;
  file[scales->file_offset + 1] = 0x4a;  // BF16 2^21
  result.directory.Put("model.safetensors", file);
  MemoryDirectory plain;

  const absl::Status status = ExportDequantized(result.directory, {.dtype = DType::kF16}, plain);

  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.layers.0.mlp.down_proj.weight"));
}

TEST(ExportDequantized, RefusesAPlainModelAndOddDTypes) {
  Result result;
  MemoryDirectory plain;

  EXPECT_EQ(ExportDequantized(result.job.source(), {}, plain).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ExportDequantized(result.directory, {.dtype = DType::kI8}, plain).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(*plain.List(), IsEmpty());
}

}  // namespace
}  // namespace gptvq
