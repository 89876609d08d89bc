#include "core/format/weights_index.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxIndexBytes = 100'000'000;

absl::StatusOr<std::optional<std::uint64_t>> ParseTotalSize(const json& metadata) {
  if (!metadata.is_object() || !metadata.contains("total_size")) return std::nullopt;
  const json& value = metadata["total_size"];
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  // Some releases of transformers wrote 1.5e10 for a whole number of bytes.
  constexpr double kExactLimit = 9007199254740992.0;  // 2^53
  if (value.is_number_float()) {
    const double bytes = value.get<double>();
    if (bytes >= 0 && bytes <= kExactLimit && bytes == std::floor(bytes)) return static_cast<std::uint64_t>(bytes);
  }
  return absl::InvalidArgumentError("metadata.total_size is not a whole number of bytes");
}

absl::StatusOr<WeightsIndex> ParseIndex(const json& root) {
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
    return absl::InvalidArgumentError("there is no object weight_map");
  }
  WeightsIndex index;
  for (const auto& [tensor, file] : root["weight_map"].items()) {
    const bool is_sibling = file.is_string() && IsPlainFileName(file.get_ref<const std::string&>()) &&
                            absl::EndsWith(file.get_ref<const std::string&>(), ".safetensors");
    if (!is_sibling) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight_map entry '", tensor.substr(0, 80), "' names ", file.dump().substr(0, 80),
                       ", which is not the name of a .safetensors file beside the index"));
    }
    index.weight_map.emplace(tensor, file.get_ref<const std::string&>());
  }
  if (index.weight_map.empty()) return absl::InvalidArgumentError("weight_map is empty");
  if (root.contains("metadata")) {
    GPTVQ_ASSIGN_OR_RETURN(index.total_size, ParseTotalSize(root["metadata"]));
  }
  return index;
}

}  // namespace

absl::StatusOr<WeightsIndex> ReadWeightsIndex(const RandomAccessFile& file) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(file, kMaxIndexBytes));
  auto root = ParseStrictJson(text, {.max_bytes = kMaxIndexBytes});
  if (!root.ok()) return WithContext(root.status(), file.name());
  auto index = ParseIndex(*root);
  if (!index.ok()) return WithContext(index.status(), file.name());
  return index;
}

std::string WeightsIndexText(const WeightsIndex& index) {
  json root = {{"metadata", json::object()}, {"weight_map", index.weight_map}};
  if (index.total_size.has_value()) root["metadata"]["total_size"] = *index.total_size;
  return root.dump(2) + "\n";
}

}  // namespace gptvq
