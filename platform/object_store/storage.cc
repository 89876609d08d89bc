#include "platform/object_store/storage.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/confined_directory.h"
#include "platform/object_store/linked_directory.h"
#include "platform/object_store/local_object_store.h"
#include "platform/object_store/object_directory.h"
#include "platform/object_store/s3_connector.h"

namespace gptvq {
namespace {

// A place in the file system: an existing directory, and a path below it out of which nothing leads.
struct ConfinedPath {
  ConfinedDirectory root;
  std::string relative;  // "" is the root
};

std::string WithoutTrailingSlash(std::string root) {
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  return root;
}

absl::StatusOr<ConfinedPath> Confine(const StorageOptions& options, const std::string& path) {
  for (const std::string& configured : options.file_roots) {
    const std::string root = WithoutTrailingSlash(configured);
    const std::string prefix = root == "/" ? root : absl::StrCat(root, "/");
    if (path != root && !path.starts_with(prefix)) continue;
    GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, ConfinedDirectory::Open(root));
    return ConfinedPath{std::move(directory), path == root ? "" : path.substr(prefix.size())};
  }
  return absl::PermissionDeniedError(
      absl::StrCat("file://", path, ": outside the directories that this process may use"));
}

absl::StatusOr<ConfinedDirectory> OpenLocalDirectory(const StorageOptions& options, const std::string& path) {
  if (options.file_roots.empty()) return ConfinedDirectory::Open(path);
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedPath place, Confine(options, path));
  return place.root.OpenDirectory(place.relative);
}

absl::StatusOr<ConfinedDirectory> CreateLocalDirectory(const StorageOptions& options, const std::string& path) {
  if (options.file_roots.empty()) return ConfinedDirectory::Create(path);
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedPath place, Confine(options, path));
  return place.root.MakeDirectories(place.relative);
}

// Reading follows links that lead nowhere the process could not be sent by a URI.
absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenForReading(const StorageOptions& options,
                                                                  const std::string& path) {
  using Links = ConfinedDirectory::Links;
  if (options.file_roots.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, ConfinedDirectory::Open(path));
    return std::make_unique<LinkedDirectory>(std::move(directory), "", Links::kAnywhere);
  }
  GPTVQ_ASSIGN_OR_RETURN(ConfinedPath place, Confine(options, path));
  GPTVQ_RETURN_IF_ERROR(place.root.OpenDirectory(place.relative, Links::kInside).status());
  return std::make_unique<LinkedDirectory>(std::move(place.root), std::move(place.relative), Links::kInside);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenFileAt(const StorageOptions& options, const std::string& path) {
  using Links = ConfinedDirectory::Links;
  if (!options.file_roots.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(const ConfinedPath place, Confine(options, path));
    return OpenLocalFile(place.root, place.relative, path, Links::kInside);
  }
  const std::size_t slash = path.rfind('/');
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedDirectory directory,
                         ConfinedDirectory::Open(slash == 0 ? "/" : path.substr(0, slash)));
  return OpenLocalFile(directory, path.substr(slash + 1), path, Links::kAnywhere);
}

// Looks upwards to the first thing that exists.
absl::Status CheckLocalCreatable(const StorageOptions& options, std::string path) {
  for (; !path.empty(); path.resize(path.rfind('/'))) {
    const absl::Status directory = OpenLocalDirectory(options, path).status();
    if (!absl::IsNotFound(directory)) return directory;
    const absl::Status file = OpenFileAt(options, path).status();
    if (file.ok() || absl::IsFailedPrecondition(file)) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": is a file, where a directory is needed"));
    }
    if (!absl::IsNotFound(file)) return file;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status StorageOptions::Validate() const {
  for (const std::string& root : file_roots) {
    if (!root.starts_with('/')) {
      return absl::InvalidArgumentError(absl::StrCat("file root '", root, "' is not an absolute path"));
    }
    // Otherwise a misspelt root would be found out by the first job that it refuses.
    const absl::Status opened = ConfinedDirectory::Open(WithoutTrailingSlash(root)).status();
    if (opened.ok()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("file root '", root, "' is not a directory that can be opened: ", opened.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<S3ObjectStore>> Storage::OpenS3(const ObjectUri& uri) const {
  if (options_.s3 != nullptr) return options_.s3->Open(uri);
  return absl::FailedPreconditionError(absl::StrCat(uri.ToString(), ": this process has no S3 storage"));
}

absl::StatusOr<std::unique_ptr<ObjectStore>> Storage::OpenStore(const ObjectUri& uri) const {
  switch (uri.scheme()) {
    case UriScheme::kS3: return OpenS3(uri);
    case UriScheme::kFile: {
      GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, OpenLocalDirectory(options_, uri.path()));
      return std::make_unique<LocalObjectStore>(std::move(directory));
    }
  }
  return absl::InternalError("unknown URI scheme");
}

absl::StatusOr<std::unique_ptr<ObjectStore>> Storage::CreateStore(const ObjectUri& uri) const {
  switch (uri.scheme()) {
    case UriScheme::kS3: return OpenS3(uri);
    case UriScheme::kFile: {
      GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, CreateLocalDirectory(options_, uri.path()));
      return std::make_unique<LocalObjectStore>(std::move(directory));
    }
  }
  return absl::InternalError("unknown URI scheme");
}

absl::Status Storage::CheckCreatable(const ObjectUri& uri) const {
  switch (uri.scheme()) {
    case UriScheme::kFile: return CheckLocalCreatable(options_, uri.path());
    case UriScheme::kS3: {
      GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<S3ObjectStore> store, OpenS3(uri));
      return store->CheckReachable();
    }
  }
  return absl::InternalError("unknown URI scheme");
}

absl::StatusOr<std::unique_ptr<ReadableDirectory>> Storage::OpenDirectory(const ObjectUri& uri) const {
  switch (uri.scheme()) {
    case UriScheme::kFile: return OpenForReading(options_, uri.path());
    case UriScheme::kS3: {
      GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<S3ObjectStore> prefix, OpenS3(uri));
      GPTVQ_RETURN_IF_ERROR(prefix->CheckNotEmpty());
      return std::make_unique<ObjectDirectory>(std::move(prefix));
    }
  }
  return absl::InternalError("unknown URI scheme");
}

absl::StatusOr<std::unique_ptr<WritableDirectory>> Storage::CreateDirectory(const ObjectUri& uri) const {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store, CreateStore(uri));
  return std::make_unique<ObjectDirectory>(std::move(store));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> Storage::OpenFile(const ObjectUri& uri) const {
  switch (uri.scheme()) {
    case UriScheme::kFile: return OpenFileAt(options_, uri.path());
    case UriScheme::kS3: GPTVQ_RETURN_IF_ERROR(OpenS3(uri).status()); return options_.s3->OpenFile(uri);
  }
  return absl::InternalError("unknown URI scheme");
}

}  // namespace gptvq
