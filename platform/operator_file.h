#ifndef GPTVQ_PLATFORM_OPERATOR_FILE_H_
#define GPTVQ_PLATFORM_OPERATOR_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace gptvq {

// The text of a small file that whoever runs the program named: a configuration, a credential. Symbolic links are followed,
// since that is how Kubernetes mounts them; never for a path that came over the wire.
// Errors: NotFound, PermissionDenied, or Unavailable with the system's words; InvalidArgument when it is longer than
// `limit_bytes`. Messages name the path and never what is in the file.
absl::StatusOr<std::string> ReadOperatorFile(const std::string& path, std::size_t limit_bytes);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OPERATOR_FILE_H_
