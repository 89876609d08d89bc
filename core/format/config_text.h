#ifndef GPTVQ_CORE_FORMAT_CONFIG_TEXT_H_
#define GPTVQ_CORE_FORMAT_CONFIG_TEXT_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace gptvq {

// Edits of config.json that leave every other byte as it is: key order, unknown keys, spelling of numbers, white space
// (docs/format.md section 7.1). Pure. `text` is one JSON object; `value` is the JSON text of the new value, whose lines
// after the first are indented to their place. Errors of all: InvalidArgument when `text` is no JSON object.

// Adds a member at the end. RemoveTopLevelKey undoes it exactly. Errors: AlreadyExists.
absl::StatusOr<std::string> AddTopLevelKey(std::string_view text, std::string_view key, std::string_view value);

// Removes a member with its comma. Errors: NotFound.
absl::StatusOr<std::string> RemoveTopLevelKey(std::string_view text, std::string_view key);

// Puts another value in the place of a member's. Errors: NotFound.
absl::StatusOr<std::string> ReplaceTopLevelValue(std::string_view text, std::string_view key, std::string_view value);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_CONFIG_TEXT_H_
