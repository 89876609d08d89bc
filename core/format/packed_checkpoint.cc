#include "core/format/packed_checkpoint.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/packed_linear.h"
#include "core/format/packed_tensors.h"
#include "core/format/quantization_config.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 64 << 20;

absl::Status CheckModules(const std::vector<PackedModule>& modules, const Checkpoint& tensors) {
  std::set<std::string> needed;
  for (const PackedModule& module : modules) {
    GPTVQ_RETURN_IF_ERROR(CheckPackedTensors(module, tensors));
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
    for (const TensorInfo& info : infos) needed.insert(info.name);
    if (tensors.Find(absl::StrCat(module.name, ".weight")) != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", module.name, ".weight' stands beside its packed form"));
    }
  }
  for (const std::string& name : tensors.TensorNames()) {
    if (IsPackedTensorName(name) && !needed.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", name, "' belongs to no module that config.json lists"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PackedCheckpoint> PackedCheckpoint::Open(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(const auto config_file, directory.Open(kConfigFile));
  GPTVQ_ASSIGN_OR_RETURN(std::string config_text, ReadWholeFile(*config_file, kMaxConfigBytes));
  auto modules = ParseQuantizationConfig(config_text);
  if (!modules.ok()) return WithContext(modules.status(), kConfigFile);
  GPTVQ_ASSIGN_OR_RETURN(Checkpoint tensors, Checkpoint::Open(directory));
  GPTVQ_RETURN_IF_ERROR(WithContext(CheckModules(modules->modules, tensors), directory.name()));
  return PackedCheckpoint(std::move(config_text), *std::move(modules), std::move(tensors));
}

const PackedModule* PackedCheckpoint::Find(std::string_view module) const {
  const auto it = std::lower_bound(modules().begin(), modules().end(), module,
                                   [](const PackedModule& m, std::string_view name) { return m.name < name; });
  return it != modules().end() && it->name == module ? &*it : nullptr;
}

absl::StatusOr<QuantizedLinear> PackedCheckpoint::ReadLinear(std::string_view module) const {
  const PackedModule* found = Find(module);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("module '", std::string(module), "' is not packed"));
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<PackedTensor> packed, ReadPackedTensors(*found, tensors_));
  return UnpackLinear(*found, packed);
}

}  // namespace gptvq
