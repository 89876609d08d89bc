#include "tests/core/format/finished_job.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/format/packed_tensors.h"
#include "core/spec/bits_per_value.h"
#include "tests/core/format/random_linear.h"
#include "tests/core/format/safetensors_bytes.h"

namespace gptvq {
namespace {

constexpr int kLayers = 2;
constexpr const char* kLinears[] = {"mlp.down_proj", "self_attn.k_proj", "self_attn.q_proj"};

constexpr char kConfig[] =
    "{\n"
    "  \"architectures\": [\"LlamaForCausalLM\"],\n"
    "  \"hidden_size\": 272,\n"
    "  \"tie_word_embeddings\": true,\n"
    "  \"torch_dtype\": \"float32\",\n"
    "  \"a_key_nobody_knows\": 1.50\n"
    "}\n";

// Appends a tensor to a safetensors file under construction. Bytes are a pattern of the name's length.
void AddTensor(const std::string& name, const std::string& dtype, const std::string& shape, std::size_t bytes,
               std::string& entries, std::string& data) {
  const std::string offsets = absl::StrCat(data.size(), ",", data.size() + bytes);
  absl::StrAppend(&entries, entries.empty() ? "" : ",", TensorEntry(name, dtype, shape, offsets));
  for (std::size_t i = 0; i < bytes; ++i) data.push_back(static_cast<char>((i * 7 + name.size()) % 60));
}

}  // namespace

FinishedJob::FinishedJob(const QuantSpec& spec) : spec_(spec) {
  std::string entries;
  std::string data;
  const std::string shape = absl::StrCat(kJobRows, ",", kJobCols);
  for (int layer = 0; layer < kLayers; ++layer) {
    std::vector<NamedLinear> linears;
    for (const char* linear : kLinears) {
      const std::string name = absl::StrCat("model.layers.", layer, ".", linear);
      AddTensor(name + ".weight", "BF16", shape, 2 * kJobRows * kJobCols, entries, data);
      linears.push_back({name, RandomLinear(linears_.size() + 10, kJobRows, kJobCols, spec)});
      linears_.push_back(linears.back());
    }
    AddTensor(absl::StrCat("model.layers.", layer, ".input_layernorm.weight"), "BF16", "272", 544, entries, data);
    AddTensor(absl::StrCat("model.layers.", layer, ".self_attn.q_proj.bias"), "F32", "12", 48, entries, data);
    MemoryDirectory artifacts;
    auto file = artifacts.Create("layer");
    GPTVQ_CHECK(WriteLayerArtifact(layer, spec, linears, **file).ok() && (*file)->Close().ok());
    artifacts_.push_back(FileText(artifacts, "layer"));
  }
  AddTensor("model.embed_tokens.weight", "BF16", "5,272", 2720, entries, data);
  source_.Put("model.safetensors", FileWithHeader("{" + entries + "}", data));
  source_.Put("config.json", kConfig);
  source_.Put("tokenizer.json", "{\"any\": \"bytes \xff\"}");
  source_.Put("generation_config.json", "{}");
  source_.Put("pytorch_model.bin", "weights of another format");
  source_.Put(".gitattributes", "*");
}

std::vector<LayerArtifact> FinishedJob::Layers() const {
  std::vector<LayerArtifact> layers;
  for (const std::string& bytes : artifacts_) {
    auto artifact = LayerArtifact::Open(AFile(bytes, "layer"));
    GPTVQ_CHECK(artifact.ok());
    layers.push_back(*std::move(artifact));
  }
  return layers;
}

AssembleOptions FinishedJob::Options() const {
  AssembleOptions options;
  ManifestFacts& facts = options.facts;
  facts.tool_version = "0.1.0";
  facts.spec = spec_;
  facts.seed = 7;
  facts.calibration = Digest::Of(AsBytes("tokens"));
  facts.propagation = "sequential";
  facts.shard_layers = kLayers;
  facts.numerics_class = "test";
  for (const NamedLinear& named : linears_) {
    LinearReport report;
    report.name = named.name;
    report.rows = kJobRows;
    report.cols = kJobCols;
    report.bits = CountBits(named.linear);
    report.relative_error = 0.25;
    facts.linears.push_back(report);
  }
  return options;
}

absl::StatusOr<AssembledCheckpoint> FinishedJob::Assemble(MemoryDirectory& output,
                                                          const AssembleOptions& options) const {
  auto checkpoint = Checkpoint::Open(source_);
  GPTVQ_CHECK(checkpoint.ok());
  return AssembleCheckpoint(source_, *checkpoint, Layers(), options, output);
}

std::vector<std::string> FileNames(const ReadableDirectory& directory) {
  auto names = directory.List();
  GPTVQ_CHECK(names.ok());
  return *std::move(names);
}

std::string FileText(const ReadableDirectory& directory, const std::string& name) {
  auto file = directory.Open(name);
  GPTVQ_CHECK(file.ok());
  return *ReadWholeFile(**file, std::uint64_t{1} << 30);
}

}  // namespace gptvq
