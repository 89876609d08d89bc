#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "core/format/layer_artifact.h"
#include "core/format/packed_checkpoint.h"
#include "core/format/verify.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/format/finished_job.h"
#include "tests/core/format/random_linear.h"

// Results of every released format version, read and checked forever. A folder 1.0/<name> holds result/, a directory as
// AssembleCheckpoint wrote it; layer-0.safetensors, one of its layer artifacts; expected.json, checksums of the
// weights by tests/golden/read_result.py, which shares no code with the reader here.
//
// A new version gets new folders: run this program with --gtest_also_run_disabled_tests --gtest_filter=*WriteFiles, copy
// <build>/golden here and write each expected.json with read_result.py. Folders of older versions stay as they are.

namespace gptvq {
namespace {

struct Golden {
  std::string name;
  QuantSpec spec;
  std::string manifest_sha256;
};

// The defaults when these were written.
QuantSpec SpecOf10() {
  QuantSpec spec;
  spec.damping = 0.01;
  spec.refinement_passes = 3;
  return spec;
}

// Small codebooks, several stripes, a ragged last one, uneven row blocks.
std::vector<Golden> Goldens() {
  QuantSpec int8 = SpecOf10();
  int8.vector_dim = 2;
  int8.index_bits = 3;
  int8.group_weights = 300;
  int8.columns_per_group = 64;
  int8.block_scale_columns = 32;
  QuantSpec fp16 = int8;
  fp16.vector_dim = 4;
  fp16.index_bits = 5;
  fp16.group_weights = 1000;
  fp16.codebook_dtype = CodebookDType::kFp16;
  fp16.block_scale_columns = 0;
  QuantSpec svd = int8;
  svd.vector_dim = 1;
  svd.svd_rank_fraction = 0.5;
  svd.block_scale_columns = 0;
  QuantSpec uniform = SpecOf10();
  uniform.method = QuantMethod::kGptq;
  uniform.uniform_bits = 3;
  uniform.uniform_group_columns = 64;
  uniform.act_order = true;
  return {
      {"int8-block-scales", int8, "7fa393506c2e9ad7305535a41b6dd820eb7e9e0f06b0a1b11f28519df285aba6"},
      {"fp16", fp16, "2532e1642cefa5bcec3b9bbcc076df4ef91a7cbcd02a36cd8df365ddf6ad427a"},
      {"svd", svd, "817f053bfc2ad276288dc718e3bcbe7f0cb82578abada56a5f0c2bbbe0b93b80"},
      {"uniform-permuted", uniform, "eccbb9e29801aa053816e18b7e77681ee2013cbf0ca58d689a95bfcaa071a252"},
  };
}

std::string FolderOf(const Golden& golden) { return std::string(GPTVQ_SOURCE_DIR "/tests/golden/1.0/") + golden.name; }

nlohmann::json Expected(const Golden& golden) {
  std::ifstream stream(FolderOf(golden) + "/expected.json");
  return nlohmann::json::parse(stream);
}

std::vector<float> Weights(const QuantizedLinear& linear) {
  std::vector<float> weights(RowCount(linear) * ColumnCount(linear), std::nanf(""));
  Dequantize(linear, MatrixView<float>(weights.data(), RowCount(linear), ColumnCount(linear)));
  return weights;
}

// The files of a folder, in memory.
std::unique_ptr<MemoryDirectory> Load(const std::string& folder) {
  auto directory = std::make_unique<MemoryDirectory>(folder);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    directory->Put(entry.path().filename(),
                   std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()));
  }
  return directory;
}

void CopyTo(const std::string& folder, const ReadableDirectory& directory) {
  std::filesystem::create_directories(folder);
  for (const std::string& name : FileNames(directory)) {
    std::ofstream(folder + "/" + name, std::ios::binary) << FileText(directory, name);
  }
}

TEST(Golden, ResultsAreSound) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.name);
    const auto verification = VerifyCheckpoint(*Load(FolderOf(golden) + "/result"));

    ASSERT_TRUE(verification.ok()) << verification.status();
    EXPECT_TRUE(verification->ok()) << verification->failures.front();
    EXPECT_EQ(verification->linears_checked, 6u);
    EXPECT_EQ(verification->manifest.hex(), golden.manifest_sha256);
  }
}

TEST(Golden, WeightsAreThoseOfTheIndependentReader) {
  for (const Golden& golden : Goldens()) {
    const auto packed = PackedCheckpoint::Open(*Load(FolderOf(golden) + "/result"));
    ASSERT_TRUE(packed.ok()) << packed.status();
    const nlohmann::json expected = Expected(golden);
    ASSERT_EQ(expected.size(), packed->modules().size());
    for (const PackedModule& module : packed->modules()) {
      SCOPED_TRACE(golden.name + " " + module.name);
      const std::vector<float> weights = Weights(*packed->ReadLinear(module.name));
      double sum = 0;
      double weighted_sum = 0;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        sum += weights[i];
        weighted_sum += static_cast<double>(weights[i]) * static_cast<double>(i % 97 + 1);
      }
      // The reader in Python computes in double; here each weight is rounded to f32 a few times.
      const double bound = 4 * 0x1p-24 * expected[module.name]["absolute_sum"].get<double>();
      EXPECT_NEAR(sum, expected[module.name]["sum"].get<double>(), bound);
      EXPECT_NEAR(weighted_sum, expected[module.name]["weighted_sum"].get<double>(), 97 * bound);
    }
  }
}

TEST(Golden, LayerArtifactsHoldTheLinearsOfTheResult) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.name);
    const auto packed = PackedCheckpoint::Open(*Load(FolderOf(golden) + "/result"));
    const auto layer = LayerArtifact::Open(*Load(FolderOf(golden))->Open("layer-0.safetensors"));
    ASSERT_TRUE(layer.ok()) << layer.status();
    EXPECT_EQ(layer->spec(), golden.spec);
    ASSERT_EQ(layer->modules().size(), 3u);
    for (const PackedModule& module : layer->modules()) {
      EXPECT_TRUE(SameLinear(*layer->ReadLinear(module.name), *packed->ReadLinear(module.name))) << module.name;
    }
  }
}

// The current writer still writes version 1.0 as it did: same linears, same bytes. The manifest is left out: it states
// the whole spec, which may gain fields without a change of the format.
TEST(Golden, WriterHasNotChanged) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.name);
    const FinishedJob job(golden.spec);
    MemoryDirectory output;
    ASSERT_TRUE(job.Assemble(output).ok());
    const auto stored = Load(FolderOf(golden) + "/result");

    EXPECT_EQ(FileNames(output), FileNames(*stored));
    for (const std::string name : {"model.safetensors", "config.json"}) {
      EXPECT_EQ(FileText(output, name), FileText(*stored, name)) << name;
    }
  }
}

TEST(Golden, DISABLED_WriteFiles) {
  for (const Golden& golden : Goldens()) {
    const FinishedJob job(golden.spec);
    MemoryDirectory output;
    const auto result = job.Assemble(output);
    ASSERT_TRUE(result.ok()) << result.status();
    const std::string folder = std::string(GPTVQ_BINARY_DIR "/golden/1.0/") + golden.name;
    CopyTo(folder + "/result", output);
    std::ofstream(folder + "/layer-0.safetensors", std::ios::binary) << job.artifacts()[0];
    std::printf("%s %s\n", golden.name.c_str(), result->manifest.hex().c_str());
  }
}

}  // namespace
}  // namespace gptvq
