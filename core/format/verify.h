#ifndef GPTVQ_CORE_FORMAT_VERIFY_H_
#define GPTVQ_CORE_FORMAT_VERIFY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace gptvq {

// What VerifyCheckpoint found.
struct Verification {
  std::vector<std::string> failures;  // one sentence each, naming the file or tensor; empty: the result is sound
  Digest manifest;                    // of gptvq_manifest.json, when it was there
  std::uint64_t files_checked = 0;
  std::uint64_t bytes_checked = 0;
  std::uint64_t linears_checked = 0;

  bool ok() const { return failures.empty(); }
};

// Checks a result from end to end (docs/format.md section 9.4): the manifest, the digest of every file, no file missing or
// extra, then every packed linear. A damaged result is not an error but a list of failures; all that can be named are.
// Reads every byte. Memory: O(one packed linear).
// Errors: Unavailable and PermissionDenied of the storage.
absl::StatusOr<Verification> VerifyCheckpoint(const ReadableDirectory& directory);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_VERIFY_H_
