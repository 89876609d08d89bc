#include "core/format/quantization_config.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/format_version.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxConfigBytes = 64 << 20;  // of a result: the list of modules grows with the model

json BitsPerValue(const BitCount& bits) {
  const auto per_value = [&bits](std::int64_t part) {
    return bits.weights == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(bits.weights);
  };
  return {{"total", bits.bits_per_value()},
          {"index", per_value(bits.index_bits)},
          {"codebook", per_value(bits.codebook_bits)},
          {"codebook_scale", per_value(bits.codebook_scale_bits)},
          {"block_scale", per_value(bits.block_scale_bits)},
          {"permutation", per_value(bits.permutation_bits)}};
}

std::string StringAt(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

std::string QuantizationConfigText(const PackedModules& modules, const std::vector<std::string>& modules_to_not_convert,
                                   const BitCount& bits) {
  json object = json::parse(PackedModulesText(modules));
  object["quant_method"] = std::string(kQuantMethod);
  object["format_version"] = std::string(kFormatVersion);
  object["modules_to_not_convert"] = modules_to_not_convert;
  object["bits_per_value"] = BitsPerValue(bits);
  return object.dump(2);
}

absl::StatusOr<PackedModules> ParseQuantizationConfig(std::string_view config_text) {
  GPTVQ_ASSIGN_OR_RETURN(const json config, ParseStrictJson(config_text, {.max_bytes = kMaxConfigBytes}));
  const auto object = config.is_object() ? config.find(std::string(kQuantizationConfigKey)) : config.end();
  if (!config.is_object() || object == config.end()) {
    return absl::NotFoundError("there is no quantization_config: not a packed model");
  }
  const std::string method = object->is_object() ? StringAt(*object, "quant_method") : "";
  if (method != kQuantMethod) {
    return absl::InvalidArgumentError(
        absl::StrCat("quantization_config.quant_method is '", method.substr(0, 40), "', not 'gptvq'"));
  }
  GPTVQ_RETURN_IF_ERROR(WithContext(CheckFormatVersion(StringAt(*object, "format_version")), "quantization_config"));
  auto modules = ParsePackedModules(object->dump());
  if (!modules.ok()) return WithContext(modules.status(), "quantization_config");
  return modules;
}

}  // namespace gptvq
