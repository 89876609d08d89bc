#ifndef GPTVQ_CORE_FORMAT_QUANTIZATION_CONFIG_H_
#define GPTVQ_CORE_FORMAT_QUANTIZATION_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/format/packed_layout.h"
#include "core/spec/bits_per_value.h"

namespace gptvq {

inline constexpr std::string_view kConfigFile = "config.json";
inline constexpr std::string_view kQuantizationConfigKey = "quantization_config";
inline constexpr std::string_view kQuantMethod = "gptvq";

// The value of "quantization_config" in a result's config.json (docs/format.md section 7.2), indented by two spaces.
std::string QuantizationConfigText(const PackedModules& modules, const std::vector<std::string>& modules_to_not_convert,
                                   const BitCount& bits);

// What the config.json of a result says is packed.
// Errors: NotFound when there is no quantization_config; InvalidArgument when it is another method's or breaks a rule of
// section 7; Unimplemented for another major format version.
absl::StatusOr<PackedModules> ParseQuantizationConfig(std::string_view config_text);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_QUANTIZATION_CONFIG_H_
