#ifndef GPTVQ_CORE_FORMAT_SPEC_JSON_H_
#define GPTVQ_CORE_FORMAT_SPEC_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// A whole QuantSpec as a JSON object: every field by its name, enumerations by their names, keys in byte order, no white
// space (docs/format.md section 9.3).
std::string QuantSpecText(const QuantSpec& spec);

// The inverse. Unknown keys are ignored; a missing key keeps its default. Errors: InvalidArgument naming the key.
absl::StatusOr<QuantSpec> ParseQuantSpec(std::string_view text);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_SPEC_JSON_H_
