#ifndef GPTVQ_CLIENT_LOCAL_FILES_H_
#define GPTVQ_CLIENT_LOCAL_FILES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "platform/object_store/storage.h"

namespace gptvq {

// What a user named on the command line, opened: a path of this machine or a URI. Errors: those of Storage.
absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenLocalFile(const Storage& storage, const std::string& location);
// A file that appears when it is closed, in a directory that exists.
absl::StatusOr<std::unique_ptr<WritableFile>> CreateLocalFile(const Storage& storage, const std::string& location);
absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenLocalDirectory(const Storage& storage,
                                                                      const std::string& location);
absl::StatusOr<std::unique_ptr<WritableDirectory>> CreateLocalDirectory(const Storage& storage,
                                                                        const std::string& location);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_LOCAL_FILES_H_
