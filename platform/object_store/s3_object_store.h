#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_OBJECT_STORE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_OBJECT_STORE_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/object_store/object_store.h"
#include "platform/object_store/s3_client.h"

namespace gptvq {

struct S3ObjectStoreOptions {
  // How long nothing was added to a multipart upload, by the server's clock, before RemoveAbandonedWrites takes its
  // writer for dead. A writer that is only slow would have to write again, and would be told so.
  std::chrono::hours abandoned_after{24};
};

// Objects below one prefix of a bucket, for s3:// URIs. A prefix needs no making and is never missing: an empty one lists
// nothing. Files are pinned to the ETag that they had when they were opened: they read those bytes or fail with
// FailedPrecondition, never others.
//
// A ticket of what is saved names the multipart upload and the ETag of each part. Whoever else adds to that upload can at most make
// its completion fail, as S3 compares the ETags, or put the same bytes there again.
//
// PutNew is a PUT with `If-None-Match: *`, which Amazon S3 and Ceph's gateway honour; the key is looked up before, and where a
// server answers that it does not know the condition, that is all. One that ignores it without a word, too, replaces an object
// that appeared between the two: the window is one request long. Thread-safe.
class S3ObjectStore final : public ObjectStore {
 public:
  // `root.key` is the prefix without a '/' at its end; "": the whole bucket. Files and writers share the client with
  // the store and may outlive it.
  S3ObjectStore(std::shared_ptr<const S3Client> client, S3Place root, S3ObjectStoreOptions options = {});

  std::string_view name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) override;
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override;
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override;
  absl::Status Delete(std::string_view key) override;
  absl::Status RemoveAbandonedWrites(ListScope scope) override;

  // Whether the bucket answers and may be listed. Errors: those of ObjectStore.
  absl::Status CheckReachable() const;
  // As CheckReachable, and NotFound when there is no object below the prefix.
  absl::Status CheckNotEmpty() const;

 private:
  S3Place PlaceOf(std::string_view key) const;
  absl::StatusOr<bool> IsAbandoned(const S3Place& place, const std::string& upload_id, WallTime limit) const;

  const std::shared_ptr<const S3Client> client_;
  const S3Place root_;
  const std::string prefix_;  // of keys: "" or with a '/' at its end
  const std::string name_;
  const S3ObjectStoreOptions options_;
};

// One object, whatever characters its key has. `name` is what the file calls itself. Errors: those of ObjectStore.
absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenS3File(std::shared_ptr<const S3Client> client, S3Place place,
                                                             std::string name);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_OBJECT_STORE_H_
