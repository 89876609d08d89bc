#include "client/local_files.h"

#include <utility>

#include "core/base/status_macros.h"
#include "platform/object_store/object_directory.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenLocalFile(const Storage& storage, const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return storage.OpenFile(uri);
}

absl::StatusOr<std::unique_ptr<WritableFile>> CreateLocalFile(const Storage& storage, const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri parent, uri.Parent());
  // Opened, not created: a misspelt directory is an error.
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store, storage.OpenStore(parent));
  return ObjectDirectory(std::move(store)).Create(uri.FileName());
}

absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenLocalDirectory(const Storage& storage,
                                                                      const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return storage.OpenDirectory(uri);
}

absl::StatusOr<std::unique_ptr<WritableDirectory>> CreateLocalDirectory(const Storage& storage,
                                                                        const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return storage.CreateDirectory(uri);
}

}  // namespace gptvq
