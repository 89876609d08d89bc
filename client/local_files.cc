#include "client/local_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/object_directory.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/storage.h"

namespace gptvq {
namespace {

// The commands of this program open what their own user may open.
StorageOptions UserStorage() { return {}; }

}  // namespace

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenLocalFile(const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return Storage(UserStorage()).OpenFile(uri);
}

absl::StatusOr<std::unique_ptr<WritableFile>> CreateLocalFile(const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  const std::size_t slash = uri.path().rfind('/');
  const std::string parent = slash == 0 ? "/" : uri.path().substr(0, slash);
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri parent_uri, ObjectUri::ParseArgument(parent));
  // Opened, not created: a misspelt directory is an error.
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store, Storage(UserStorage()).OpenStore(parent_uri));
  return ObjectDirectory(std::move(store)).Create(uri.path().substr(slash + 1));
}

absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenLocalDirectory(const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return Storage(UserStorage()).OpenDirectory(uri);
}

absl::StatusOr<std::unique_ptr<WritableDirectory>> CreateLocalDirectory(const std::string& location) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::ParseArgument(location));
  return Storage(UserStorage()).CreateDirectory(uri);
}

}  // namespace gptvq
