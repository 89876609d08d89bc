#ifndef GPTVQ_PLATFORM_JOB_STORE_DIRECTORY_LOCK_H_
#define GPTVQ_PLATFORM_JOB_STORE_DIRECTORY_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace gptvq {

// Holds coordinator.lock of a directory as long as it lives; the system releases it whatever way the process ends.
class DirectoryLock {
 public:
  // Makes the directory if it is missing. Errors: FailedPrecondition (another process holds it), PermissionDenied.
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Acquire(const std::string& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int file) : file_(file) {}

  const int file_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_DIRECTORY_LOCK_H_
