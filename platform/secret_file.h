#ifndef GPTVQ_PLATFORM_SECRET_FILE_H_
#define GPTVQ_PLATFORM_SECRET_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "platform/secret.h"

namespace gptvq {

// The text of a file that holds nothing but a secret, without spaces and line breaks at its end.
// Errors: NotFound; PermissionDenied (this process may not read it, or everybody may, which the message says how to change);
// InvalidArgument (empty, no regular file, or longer than 64 KiB).
absl::StatusOr<Secret> ReadSecretFile(const std::string& path);

// Whether two texts are equal, in a time that depends on their lengths only.
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_SECRET_FILE_H_
