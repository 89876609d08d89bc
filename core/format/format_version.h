#ifndef GPTVQ_CORE_FORMAT_FORMAT_VERSION_H_
#define GPTVQ_CORE_FORMAT_FORMAT_VERSION_H_

#include <string_view>

#include "absl/status/status.h"

namespace gptvq {

// What this program writes (docs/format.md section 1).
inline constexpr std::string_view kFormatVersion = "1.0";

// OK for every version with our major number.
// Errors: InvalidArgument for what is not "major.minor"; Unimplemented, naming both versions, for another major.
absl::Status CheckFormatVersion(std::string_view version);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_FORMAT_VERSION_H_
