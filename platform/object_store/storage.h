#ifndef GPTVQ_PLATFORM_OBJECT_STORE_STORAGE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_STORAGE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "platform/object_store/object_store.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {

class S3Connector;
class S3ObjectStore;

struct StorageOptions {
  // Directories that file:// URIs may point to or below, absolute. Symbolic links below them are followed for reading as
  // long as they stay below the same root, and never for writing. Empty: any directory and any link, for a machine whose
  // jobs are its user's own.
  std::vector<std::string> file_roots;
  // What opens s3:// URIs; borrowed, outlives the Storage. Null: they are refused.
  const S3Connector* s3 = nullptr;

  // Errors: InvalidArgument for a root that is not absolute, or not there.
  absl::Status Validate() const;
};

// From URIs to what they name, for everything a process is allowed to open: the place where the kinds of object store
// meet. Immutable, thread-safe. What it returns may outlive it.
//
// Errors of every method: those of ObjectStore; PermissionDenied for a URI outside the roots, or of a bucket that no
// storage profile serves.
class Storage {
 public:
  explicit Storage(StorageOptions options) : options_(std::move(options)) {}

  // The same without roots, for places that the operator names and not whoever submits jobs.
  Storage WithoutRoots() const { return Storage({.file_roots = {}, .s3 = options_.s3}); }

  // A store rooted at an existing directory. The prefixes of a bucket need no making: S3 has no directories.
  absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const ObjectUri& uri) const;
  // As OpenStore, after making the directory if it is missing.
  absl::StatusOr<std::unique_ptr<ObjectStore>> CreateStore(const ObjectUri& uri) const;

  // Whether nothing is in the way of CreateStore. Changes nothing, and does not ask for the right to write: the process that
  // will write may be another one. A bucket must answer.
  // Errors: FailedPrecondition naming the file that stands where a directory should.
  absl::Status CheckCreatable(const ObjectUri& uri) const;

  // Of s3:// too, a directory that is not there is NotFound: a prefix below which there is no object.
  absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenDirectory(const ObjectUri& uri) const;
  absl::StatusOr<std::unique_ptr<WritableDirectory>> CreateDirectory(const ObjectUri& uri) const;

  // One object: a calibration text.
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenFile(const ObjectUri& uri) const;

 private:
  absl::StatusOr<std::unique_ptr<S3ObjectStore>> OpenS3(const ObjectUri& uri) const;

  const StorageOptions options_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_STORAGE_H_
