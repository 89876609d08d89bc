#include "core/format/assemble.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/config_text.h"
#include "core/format/packed_tensors.h"
#include "core/format/quantization_config.h"
#include "core/format/side_files.h"
#include "core/format/weights_writer.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kMaxSourceConfigBytes = 1 << 20;
constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kHead[] = "lm_head";
constexpr char kHeadWeight[] = "lm_head.weight";

// A packed linear and the artifact that holds it.
struct PlacedModule {
  const PackedModule* module;
  const LayerArtifact* layer;
};
using ModuleMap = std::map<std::string, PlacedModule>;

std::string WeightName(const std::string& module) { return module + ".weight"; }

// Every linear once, of the job's spec, in the place of a weight of its shape.
absl::StatusOr<ModuleMap> CollectModules(absl::Span<const LayerArtifact> layers, const QuantSpec& spec,
                                         const Checkpoint& checkpoint) {
  ModuleMap modules;
  int next_layer = 0;
  for (const LayerArtifact& layer : layers) {
    const std::string context = absl::StrCat("layer ", layer.layer());
    if (layer.layer() < next_layer) return absl::InvalidArgumentError(absl::StrCat(context, " is out of order"));
    next_layer = layer.layer() + 1;
    if (layer.spec() != spec) return absl::InvalidArgumentError(absl::StrCat(context, " is of another spec"));
    for (const PackedModule& module : layer.modules()) {
      if (!modules.emplace(module.name, PlacedModule{&module, &layer}).second) {
        return absl::InvalidArgumentError(absl::StrCat(context, ": ", module.name, " is there twice"));
      }
      auto weight = checkpoint.Get(WeightName(module.name));
      if (!weight.ok()) return WithContext(weight.status(), context);
      if (weight->shape != std::vector<std::int64_t>{module.rows, module.cols}) {
        return absl::InvalidArgumentError(absl::StrCat(context, ": ", module.name, " is ", module.rows, " x ",
                                                       module.cols, ", its source weight is ", Describe(*weight)));
      }
    }
  }
  return modules;
}

// One report per linear, and the bits it states are those of its layout. Returns the sum.
absl::StatusOr<BitCount> CheckReports(const ModuleMap& modules, const std::vector<LinearReport>& reports) {
  std::set<std::string> reported;
  BitCount total;
  for (const LinearReport& report : reports) {
    const auto it = modules.find(report.name);
    if (it == modules.end() || !reported.insert(report.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("report of ", report.name, ": no such packed linear, or a second report"));
    }
    GPTVQ_ASSIGN_OR_RETURN(const BitCount bits, CountPackedBits(*it->second.module));
    if (bits != report.bits) {
      return absl::InvalidArgumentError(absl::StrCat("report of ", report.name, ": states ", report.bits.total_bits(),
                                                     " bits, packed are ", bits.total_bits()));
    }
    total += bits;
  }
  if (reported.size() == modules.size()) return total;
  return absl::InvalidArgumentError(absl::StrCat(modules.size(), " packed linears have ", reported.size(), " reports"));
}

absl::StatusOr<bool> HaveEqualBytes(const Checkpoint& checkpoint, const TensorInfo& a, const TensorInfo& b) {
  constexpr std::uint64_t kPieceBytes = 1 << 20;
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  std::vector<std::byte> a_bytes(kPieceBytes);
  std::vector<std::byte> b_bytes(kPieceBytes);
  for (std::uint64_t offset = 0; offset < a.byte_count(); offset += kPieceBytes) {
    const std::size_t size = std::min(kPieceBytes, a.byte_count() - offset);
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadBytes(a.name, offset, {a_bytes.data(), size}));
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadBytes(b.name, offset, {b_bytes.data(), size}));
    if (!std::equal(a_bytes.begin(), a_bytes.begin() + size, b_bytes.begin())) return false;
  }
  return true;
}

// Section 3.5: a head that repeats the embedding is not written when the configuration says that they are tied.
absl::StatusOr<bool> HeadIsRepeated(const nlohmann::json& config, const Checkpoint& checkpoint) {
  const auto tie = config.find("tie_word_embeddings");
  const TensorInfo* head = checkpoint.Find(kHeadWeight);
  const TensorInfo* embedding = checkpoint.Find(kEmbedding);
  if (tie == config.end() || *tie != true || head == nullptr || embedding == nullptr) return false;
  return HaveEqualBytes(checkpoint, *head, *embedding);
}

absl::StatusOr<std::vector<WriteUnit>> ListUnits(const Checkpoint& checkpoint, const ModuleMap& modules,
                                                 bool head_is_repeated) {
  std::vector<WriteUnit> units;
  for (const auto& [name, placed] : modules) {
    WriteUnit& unit = units.emplace_back(WriteUnit{name, {}});
    // The artifact was checked when it was opened: its tensors have these infos.
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(*placed.module));
    for (const TensorInfo& info : infos) unit.tensors.push_back(CopiedTensor(placed.layer->tensors(), info));
  }
  for (const std::string& name : checkpoint.TensorNames()) {
    const bool is_packed = absl::EndsWith(name, ".weight") && modules.contains(name.substr(0, name.size() - 7));
    if (is_packed || (head_is_repeated && name == kHeadWeight)) continue;
    units.push_back({name, {CopiedTensor(checkpoint, *checkpoint.Find(name))}});
  }
  return units;
}

// Modules with a matrix that stays as it is. A tied head has no tensor, but loaders meet it as a module.
std::vector<std::string> ModulesNotToConvert(const Checkpoint& checkpoint, const ModuleMap& modules) {
  std::set<std::string> names;
  if (!modules.contains(kHead)) names.insert(kHead);
  for (const std::string& name : checkpoint.TensorNames()) {
    if (!absl::EndsWith(name, ".weight") || checkpoint.Find(name)->shape.size() != 2) continue;
    const std::string module = name.substr(0, name.size() - 7);
    if (!modules.contains(module)) names.insert(module);
  }
  return {names.begin(), names.end()};
}

absl::Status Conflict(std::string_view output) {
  return absl::AlreadyExistsError(
      absl::StrCat("CONFLICT: ", std::string(output), " holds the result of another job; choose another output"));
}

struct SourceConfig {
  std::string text;
  nlohmann::json value;
};

absl::StatusOr<SourceConfig> ReadSourceConfig(const ReadableDirectory& source) {
  GPTVQ_ASSIGN_OR_RETURN(const auto file, source.Open(kConfigFile));
  SourceConfig config;
  GPTVQ_ASSIGN_OR_RETURN(config.text, ReadWholeFile(*file, kMaxSourceConfigBytes));
  auto value = ParseStrictJson(config.text);
  if (!value.ok()) return WithContext(value.status(), kConfigFile);
  config.value = *std::move(value);
  if (!config.value.is_object()) return absl::InvalidArgumentError("config.json: not a JSON object");
  if (config.value.contains(std::string(kQuantizationConfigKey))) {
    return absl::InvalidArgumentError("config.json: the source model is quantized already (quantization_config)");
  }
  return config;
}

}  // namespace

absl::StatusOr<AssembledCheckpoint> AssembleCheckpoint(const ReadableDirectory& source, const Checkpoint& checkpoint,
                                                       absl::Span<const LayerArtifact> layers,
                                                       const AssembleOptions& options, WritableDirectory& output) {
  const QuantSpec& spec = options.facts.spec;
  GPTVQ_ASSIGN_OR_RETURN(const SourceConfig config, ReadSourceConfig(source));
  GPTVQ_ASSIGN_OR_RETURN(const ModuleMap modules, CollectModules(layers, spec, checkpoint));
  Manifest manifest{.facts = options.facts, .bits = {}, .files = {}};
  GPTVQ_ASSIGN_OR_RETURN(manifest.bits, CheckReports(modules, options.facts.linears));
  PackedModules packed{.layout = LayoutOf(spec), .modules = {}};
  for (const auto& [name, placed] : modules) packed.modules.push_back(*placed.module);
  const std::string quantization_config =
      QuantizationConfigText(packed, ModulesNotToConvert(checkpoint, modules), manifest.bits);
  GPTVQ_ASSIGN_OR_RETURN(const std::string result_config,
                         AddTopLevelKey(config.text, kQuantizationConfigKey, quantization_config));
  GPTVQ_RETURN_IF_ERROR(ManifestText(manifest).status());  // before the first byte is written
  GPTVQ_ASSIGN_OR_RETURN(const bool head_is_repeated, HeadIsRepeated(config.value, checkpoint));
  GPTVQ_ASSIGN_OR_RETURN(std::vector<WriteUnit> units, ListUnits(checkpoint, modules, head_is_repeated));

  GPTVQ_ASSIGN_OR_RETURN(manifest.files, WriteWeights(std::move(units), options.max_shard_bytes, output));
  GPTVQ_ASSIGN_OR_RETURN(const auto side_files, CopySideFiles(source, output));
  manifest.files.insert(side_files.begin(), side_files.end());
  GPTVQ_ASSIGN_OR_RETURN(manifest.files[std::string(kConfigFile)], WriteSmallFile(kConfigFile, result_config, output));

  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ManifestText(manifest));
  AssembledCheckpoint result;
  const absl::Status put = output.PutNew(kManifestFile, AsBytes(text));
  if (absl::IsAlreadyExists(put)) return Conflict(output.name());
  GPTVQ_RETURN_IF_ERROR(WithContext(put, kManifestFile));
  result.manifest = Digest::Of(AsBytes(text));
  result.output_bytes = result.manifest.size_bytes();
  for (const auto& [file, digest] : manifest.files) result.output_bytes += digest.size_bytes();
  result.bits = manifest.bits;
  return result;
}

absl::Status CheckNoOtherResult(const ReadableDirectory& output, const ManifestFacts& facts) {
  const absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = output.Open(kManifestFile);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(WithContext(file.status(), kManifestFile));
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(**file, kMaxManifestBytes));
  const absl::StatusOr<Manifest> manifest = ParseManifest(text);
  if (!manifest.ok()) return Conflict(output.name());
  // Facts compare as they are written.
  GPTVQ_ASSIGN_OR_RETURN(const std::string there, ManifestText({.facts = manifest->facts, .bits = {}, .files = {}}));
  GPTVQ_ASSIGN_OR_RETURN(const std::string ours, ManifestText({.facts = facts, .bits = {}, .files = {}}));
  return there == ours ? absl::OkStatus() : Conflict(output.name());
}

}  // namespace gptvq
