#include "core/format/assemble.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "core/format/packed_checkpoint.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/format/finished_job.h"
#include "tests/core/format/random_linear.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

QuantSpec Spec() { return *FindPreset("2d-2.125bpv"); }

std::vector<std::byte> Bytes(const Checkpoint& checkpoint, const std::string& name) {
  std::vector<std::byte> bytes(checkpoint.Get(name)->byte_count());
  EXPECT_TRUE(checkpoint.ReadBytes(name, 0, absl::MakeSpan(bytes)).ok());
  return bytes;
}

TEST(AssembleCheckpoint, PutsPackedTensorsInThePlaceOfWeights) {
  FinishedJob job(Spec());
  MemoryDirectory output;

  const auto result = job.Assemble(output);

  ASSERT_TRUE(result.ok()) << result.status();
  const auto packed = PackedCheckpoint::Open(output);
  ASSERT_TRUE(packed.ok()) << packed.status();
  ASSERT_EQ(packed->modules().size(), job.linears().size());
  for (const NamedLinear& named : job.linears()) {
    const auto linear = packed->ReadLinear(named.name);
    ASSERT_TRUE(linear.ok()) << linear.status();
    EXPECT_TRUE(SameLinear(*linear, named.linear)) << named.name;
    EXPECT_EQ(packed->tensors().Find(named.name + ".weight"), nullptr);
  }
  EXPECT_EQ(packed->ReadLinear("model.embed_tokens").status().code(), absl::StatusCode::kNotFound);
}

TEST(AssembleCheckpoint, MayBeRepeatedOverItsOwnResult) {
  FinishedJob job(Spec());
  MemoryDirectory output;
  const auto first = job.Assemble(output);

  EXPECT_TRUE(CheckNoOtherResult(output, job.Options().facts).ok());
  const auto second = job.Assemble(output);

  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->manifest, first->manifest);
}

TEST(AssembleCheckpoint, LeavesTheManifestOfAnotherJobAloneAndNamesTheOutput) {
  FinishedJob job(Spec());
  AssembleOptions other = job.Options();
  other.facts.seed += 1;
  MemoryDirectory output("s3://bucket/result");
  ASSERT_TRUE(job.Assemble(output, other).ok());
  const std::string manifest = FileText(output, "gptvq_manifest.json");

  const auto result = job.Assemble(output);
  const absl::Status asked = CheckNoOtherResult(output, job.Options().facts);

  for (const absl::Status& status : {result.status(), asked}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
    EXPECT_THAT(status.message(), HasSubstr("CONFLICT: s3://bucket/result "));
  }
  EXPECT_EQ(FileText(output, "gptvq_manifest.json"), manifest);
}

TEST(CheckNoOtherResult, TakesADirectoryWithoutAManifestAndNoneThatIsNotOurs) {
  const ManifestFacts facts = FinishedJob(Spec()).Options().facts;
  MemoryDirectory output;
  output.Put("model.safetensors", "left by an attempt that was killed");

  EXPECT_TRUE(CheckNoOtherResult(output, facts).ok());
  output.Put("gptvq_manifest.json", "{}");
  EXPECT_EQ(CheckNoOtherResult(output, facts).code(), absl::StatusCode::kAlreadyExists);
}

TEST(AssembleCheckpoint, CopiesEverythingElseByteForByte) {
  FinishedJob job(Spec());
  MemoryDirectory output;
  ASSERT_TRUE(job.Assemble(output).ok());
  const auto source = Checkpoint::Open(job.source());
  const auto result = Checkpoint::Open(output);

  EXPECT_THAT(*output.List(), ElementsAre("config.json", "generation_config.json", "gptvq_manifest.json",
                                          "model.safetensors", "tokenizer.json"));
  EXPECT_EQ(FileText(output, "tokenizer.json"), FileText(job.source(), "tokenizer.json"));
  int copied = 0;
  for (const std::string& name : source->TensorNames()) {
    if (absl::StrContains(name, "_proj.weight")) continue;
    ASSERT_NE(result->Find(name), nullptr) << name;
    EXPECT_EQ(*result->Find(name), *source->Find(name));
    EXPECT_EQ(Bytes(*result, name), Bytes(*source, name));
    ++copied;
  }
  EXPECT_EQ(copied, 5);
}

// docs/format.md 7.1 and 7.2.
TEST(AssembleCheckpoint, AddsOneKeyToTheConfiguration) {
  FinishedJob job(Spec());
  MemoryDirectory output;
  ASSERT_TRUE(job.Assemble(output).ok());

  const std::string text = FileText(output, "config.json");

  const std::string source_text = FileText(job.source(), "config.json");
  const std::string kept = source_text.substr(0, source_text.rfind("\n}"));
  EXPECT_EQ(text.substr(0, kept.size() + 2), kept + ",\n");
  const auto quantization = nlohmann::json::parse(text)["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "gptvq");
  EXPECT_EQ(quantization["format_version"], "1.0");
  EXPECT_EQ(quantization["modules"].size(), 6u);
  EXPECT_EQ(quantization["modules"]["model.layers.1.self_attn.q_proj"]["shape"], nlohmann::json({12, 272}));
  EXPECT_EQ(quantization["modules_to_not_convert"], nlohmann::json({"lm_head", "model.embed_tokens"}));
  const auto& bits = quantization["bits_per_value"];
  const double sum = bits["index"].get<double>() + bits["codebook"].get<double>() +
                     bits["codebook_scale"].get<double>() + bits["block_scale"].get<double>() +
                     bits["permutation"].get<double>();
  EXPECT_DOUBLE_EQ(bits["total"].get<double>(), sum);
  EXPECT_GT(bits["total"].get<double>(), 2.0);
}

TEST(AssembleCheckpoint, WritesTheSameBytesAgain) {
  FinishedJob job(Spec());
  MemoryDirectory first;
  MemoryDirectory second;
  const auto a = job.Assemble(first);
  const auto b = job.Assemble(second);

  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->manifest, b->manifest);
  std::uint64_t bytes = 0;
  for (const std::string& file : FileNames(first)) {
    EXPECT_EQ(FileText(first, file), FileText(second, file)) << file;
    bytes += FileText(first, file).size();
  }
  EXPECT_EQ(a->output_bytes, bytes);
  EXPECT_EQ(a->manifest, Digest::Of(AsBytes(FileText(first, "gptvq_manifest.json"))));
}

// docs/format.md 3.4: units stay whole, shards keep their limit, and their cut does not change what is read.
TEST(AssembleCheckpoint, CutsShardsBetweenUnits) {
  FinishedJob job(Spec());
  AssembleOptions options = job.Options();
  options.max_shard_bytes = 3000;
  MemoryDirectory output;

  ASSERT_TRUE(job.Assemble(output, options).ok());

  const auto packed = PackedCheckpoint::Open(output);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const std::vector<SafetensorsReader>& shards = packed->tensors().shards();
  ASSERT_GT(shards.size(), 3u);
  EXPECT_EQ(shards[0].file_name().substr(0, 15), "model-00001-of-");
  for (const SafetensorsReader& shard : shards) {
    EXPECT_EQ(shard.metadata().at("format"), "pt");
    EXPECT_LE(shard.file_bytes(), 3000u + 1500u);
  }
  for (const PackedModule& module : packed->modules()) {
    int holding = 0;
    for (const SafetensorsReader& shard : shards) {
      const bool holds_any = shard.Find(module.name + ".vq_indices") != nullptr ||
                             shard.Find(module.name + ".vq_codebooks") != nullptr ||
                             shard.Find(module.name + ".vq_codebook_scales") != nullptr;
      holding += holds_any ? 1 : 0;
    }
    EXPECT_EQ(holding, 1) << module.name;
  }
  EXPECT_THAT(packed->tensors().warnings(), IsEmpty());
}

// docs/format.md 3.5.
TEST(AssembleCheckpoint, WritesATiedHeadOnce) {
  const auto with_head = [](const std::string& head_bytes) {
    FinishedJob job(Spec());
    std::string file = FileText(job.source(), "model.safetensors");
    // A shard of its own for the head.
    job.source().Put("model-00001-of-00002.safetensors", file);
    const std::string header = R"({"lm_head.weight":{"dtype":"BF16","shape":[5,272],"data_offsets":[0,2720]}})";
    std::string head_file;
    for (int i = 0; i < 8; ++i) head_file.push_back(static_cast<char>(header.size() >> (8 * i)));
    head_file += header + head_bytes;
    job.source().Put("model-00002-of-00002.safetensors", head_file);
    const auto names = Checkpoint::Open(job.source())->TensorNames();
    nlohmann::json index = {{"weight_map", {{"lm_head.weight", "model-00002-of-00002.safetensors"}}}};
    for (const std::string& name : names) index["weight_map"][name] = "model-00001-of-00002.safetensors";
    MemoryDirectory source("sharded");
    for (const std::string& name : FileNames(job.source())) {
      if (name != "model.safetensors") source.Put(name, FileText(job.source(), name));
    }
    source.Put("model.safetensors.index.json", index.dump());
    const auto checkpoint = Checkpoint::Open(source);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    MemoryDirectory output;
    EXPECT_TRUE(AssembleCheckpoint(source, *checkpoint, job.Layers(), job.Options(), output).ok());
    return Checkpoint::Open(output)->Find("lm_head.weight") != nullptr;
  };
  FinishedJob job(Spec());
  const std::vector<std::byte> embedding = Bytes(*Checkpoint::Open(job.source()), "model.embed_tokens.weight");
  const std::string equal(reinterpret_cast<const char*>(embedding.data()), embedding.size());
  std::string other = equal;
  other[2000] ^= 1;

  EXPECT_FALSE(with_head(equal));
  EXPECT_TRUE(with_head(other));
}

TEST(AssembleCheckpoint, RefusesWhatDoesNotBelongTogether) {
  const auto refused = [](const FinishedJob& job, const AssembleOptions& options) {
    MemoryDirectory output;
    const auto result = job.Assemble(output, options);
    EXPECT_THAT(*output.List(), IsEmpty()) << "nothing is written";
    return std::string(result.status().message());
  };
  FinishedJob job(Spec());
  AssembleOptions options = job.Options();

  options.facts.spec.em_iterations = 3;
  EXPECT_THAT(refused(job, options), HasSubstr("layer 0 is of another spec"));

  options = job.Options();
  options.facts.linears.pop_back();
  EXPECT_THAT(refused(job, options), HasSubstr("6 packed linears have 5 reports"));

  options = job.Options();
  options.facts.linears[1].name = "model.layers.9.x";
  EXPECT_THAT(refused(job, options), HasSubstr("model.layers.9.x"));

  options = job.Options();
  options.facts.linears[1] = options.facts.linears[0];
  EXPECT_THAT(refused(job, options), HasSubstr("second report"));

  options = job.Options();
  options.facts.linears[2].bits.index_bits += 8;
  EXPECT_THAT(refused(job, options), HasSubstr("states"));

  options = job.Options();
  options.facts.linears[2].relative_error = 1.0 / 0.0;
  EXPECT_THAT(refused(job, options), HasSubstr("not finite"));

  job.source().Put("config.json", "{\"quantization_config\": {}}");
  EXPECT_THAT(refused(job, job.Options()), HasSubstr("quantized already"));
  job.source().Put("config.json", "[]");
  EXPECT_THAT(refused(job, job.Options()), HasSubstr("config.json"));
}

TEST(AssembleCheckpoint, RefusesLayersThatAreTwiceThereOrOutOfOrder) {
  FinishedJob job(Spec());
  MemoryDirectory output;
  const auto checkpoint = Checkpoint::Open(job.source());
  std::vector<LayerArtifact> layers = job.Layers();
  std::swap(layers[0], layers[1]);

  const auto result = AssembleCheckpoint(job.source(), *checkpoint, layers, job.Options(), output);

  EXPECT_THAT(std::string(result.status().message()), HasSubstr("layer 0 is out of order"));
}

}  // namespace
}  // namespace gptvq
