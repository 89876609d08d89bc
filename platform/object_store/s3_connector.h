#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_CONNECTOR_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_CONNECTOR_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/s3_object_store.h"
#include "platform/object_store/s3_profile.h"
#include "platform/options.h"

namespace gptvq {

// From s3:// URIs to stores: the storage profiles of a process, with one client and its connections for each, and one budget of
// retries for all. Borrows the clock. Immutable, thread-safe; what it opens may outlive it.
class S3Connector {
 public:
  // `profiles_file` is the operator's JSON file; empty: AWS in the region that AWS_REGION or AWS_DEFAULT_REGION
  // names, and without one nothing. No credential is looked for before it is needed.
  // Errors: InvalidArgument naming what is wrong in the file; those of ReadOperatorFile.
  static absl::StatusOr<S3Connector> Create(const std::string& profiles_file, const Environment& environment,
                                            Clock& clock);

  // A store rooted at an s3:// URI.
  // Errors: PermissionDenied when no profile serves the place; FailedPrecondition when there is no profile at all.
  absl::StatusOr<std::unique_ptr<S3ObjectStore>> Open(const ObjectUri& uri) const;

  // One object, named by its URI. Errors: as Open; those of ObjectStore.
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenFile(const ObjectUri& uri) const;

 private:
  S3Connector(std::optional<S3Profiles> profiles, std::vector<std::shared_ptr<const S3Client>> clients)
      : profiles_(std::move(profiles)), clients_(std::move(clients)) {}

  absl::StatusOr<std::shared_ptr<const S3Client>> ClientFor(const ObjectUri& uri) const;

  std::optional<S3Profiles> profiles_;
  std::vector<std::shared_ptr<const S3Client>> clients_;  // one per profile
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_CONNECTOR_H_
