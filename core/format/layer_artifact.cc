#include "core/format/layer_artifact.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/format_version.h"
#include "core/format/packed_linear.h"
#include "core/format/packed_tensors.h"
#include "core/format/safetensors_writer.h"
#include "core/format/spec_json.h"

namespace gptvq {
namespace {

constexpr char kVersionKey[] = "gptvq.format_version";
constexpr char kLayerKey[] = "gptvq.layer";
constexpr char kModulesKey[] = "gptvq.modules";
constexpr char kSpecKey[] = "gptvq.spec";

absl::StatusOr<std::string> MetadataAt(const std::map<std::string, std::string>& metadata, const char* key) {
  const auto it = metadata.find(key);
  if (it != metadata.end()) return it->second;
  return absl::InvalidArgumentError(absl::StrCat("not a layer artifact: no metadata key ", key));
}

absl::StatusOr<int> ParseLayer(const std::string& text) {
  int layer = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (error == std::errc() && end == text.data() + text.size() && layer >= 0 && std::to_string(layer) == text)
    return layer;
  return absl::InvalidArgumentError(absl::StrCat(kLayerKey, " '", text.substr(0, 40), "' is not a number from 0 on"));
}

// Section 8.2: what the modules need is there, and nothing else.
absl::Status CheckTensors(const PackedModules& modules, const Checkpoint& tensors) {
  std::size_t needed = 0;
  for (const PackedModule& module : modules.modules) {
    GPTVQ_RETURN_IF_ERROR(CheckPackedTensors(module, tensors));
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
    needed += infos.size();
  }
  const std::size_t stored = tensors.TensorNames().size();
  if (stored == needed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(stored, " tensors where the modules need ", needed));
}

absl::StatusOr<std::vector<PackedTensor>> PackAll(const PackedModules& modules,
                                                  absl::Span<const NamedLinearView> linears) {
  std::vector<PackedTensor> all;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    GPTVQ_ASSIGN_OR_RETURN(std::vector<PackedTensor> tensors, PackLinear(modules.modules[i], linears[i].linear));
    std::move(tensors.begin(), tensors.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace

absl::Status WriteLayerArtifact(int layer, const QuantSpec& spec, absl::Span<const NamedLinearView> linears,
                                WritableFile& file) {
  PackedModules modules{.layout = LayoutOf(spec), .modules = {}};
  for (const NamedLinearView& named : linears) {
    modules.modules.push_back(
        {std::string(named.name), RowCount(named.linear), ColumnCount(named.linear), modules.layout});
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<PackedTensor> tensors, PackAll(modules, linears));
  std::map<std::string, const PackedTensor*> by_name;
  std::vector<TensorInfo> infos;
  for (const PackedTensor& tensor : tensors) {
    by_name[tensor.info.name] = &tensor;
    infos.push_back(tensor.info);
  }
  const std::map<std::string, std::string> metadata = {{kVersionKey, std::string(kFormatVersion)},
                                                       {kLayerKey, std::to_string(layer)},
                                                       {kModulesKey, PackedModulesText(modules)},
                                                       {kSpecKey, QuantSpecText(spec)}};
  GPTVQ_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Begin(std::move(infos), metadata, file));
  for (const TensorInfo& info : writer.order()) GPTVQ_RETURN_IF_ERROR(writer.Append(by_name[info.name]->bytes));
  return writer.Finish();
}

absl::Status WriteLayerArtifact(int layer, const QuantSpec& spec, absl::Span<const NamedLinear> linears,
                                WritableFile& file) {
  std::vector<NamedLinearView> views;
  for (const NamedLinear& named : linears) views.push_back({named.name, named.linear});
  return WriteLayerArtifact(layer, spec, views, file);
}

absl::StatusOr<LayerArtifact> LayerArtifact::Open(std::unique_ptr<RandomAccessFile> file) {
  GPTVQ_ASSIGN_OR_RETURN(Checkpoint tensors, Checkpoint::OpenFile(std::move(file)));
  return OfTensors(std::move(tensors));
}

absl::StatusOr<LayerArtifact> LayerArtifact::Open(const RandomAccessFile& file) {
  GPTVQ_ASSIGN_OR_RETURN(Checkpoint tensors, Checkpoint::OpenFile(file));
  return OfTensors(std::move(tensors));
}

absl::StatusOr<LayerArtifact> LayerArtifact::OfTensors(Checkpoint tensors) {
  LayerArtifact artifact(std::move(tensors));
  GPTVQ_RETURN_IF_ERROR(WithContext(artifact.ReadMetadata(), artifact.tensors_.shards()[0].file_name()));
  return artifact;
}

absl::Status LayerArtifact::ReadMetadata() {
  const std::map<std::string, std::string>& metadata = tensors_.shards()[0].metadata();
  GPTVQ_ASSIGN_OR_RETURN(const std::string version, MetadataAt(metadata, kVersionKey));
  GPTVQ_RETURN_IF_ERROR(CheckFormatVersion(version));
  GPTVQ_ASSIGN_OR_RETURN(const std::string layer, MetadataAt(metadata, kLayerKey));
  GPTVQ_ASSIGN_OR_RETURN(layer_, ParseLayer(layer));
  GPTVQ_ASSIGN_OR_RETURN(const std::string spec, MetadataAt(metadata, kSpecKey));
  GPTVQ_ASSIGN_OR_RETURN(spec_, ParseQuantSpec(spec));
  GPTVQ_ASSIGN_OR_RETURN(const std::string modules, MetadataAt(metadata, kModulesKey));
  GPTVQ_ASSIGN_OR_RETURN(modules_, ParsePackedModules(modules));
  return CheckTensors(modules_, tensors_);
}

absl::StatusOr<QuantizedLinear> LayerArtifact::ReadLinear(std::string_view name) const {
  for (const PackedModule& module : modules()) {
    if (module.name != name) continue;
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<PackedTensor> packed, ReadPackedTensors(module, tensors_));
    return UnpackLinear(module, packed);
  }
  return absl::NotFoundError(absl::StrCat("layer ", layer_, " holds no module '", std::string(name), "'"));
}

}  // namespace gptvq
