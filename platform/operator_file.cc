#include "platform/operator_file.h"

#include <cerrno>
#include <fstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gptvq {

absl::StatusOr<std::string> ReadOperatorFile(const std::string& path, std::size_t limit_bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(limit_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) {
    const int error_number = errno;
    const std::string message =
        absl::StrCat(path, ": ", std::error_code(error_number, std::generic_category()).message());
    if (error_number == ENOENT || error_number == ENOTDIR) return absl::NotFoundError(message);
    if (error_number == EACCES || error_number == EPERM) return absl::PermissionDeniedError(message);
    return absl::UnavailableError(message);
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > limit_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is longer than ", limit_bytes, " bytes"));
  }
  return text;
}

}  // namespace gptvq
