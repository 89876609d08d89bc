#ifndef GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_UPLOAD_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_UPLOAD_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/sha256.h"
#include "platform/object_store/object_store.h"

namespace gptvq {

// Under which name an upload is known to those who may go on with it.
struct UploadName {
  Digest artifact;
  std::string record_key;  // the object that says how far it has come
};

// An artifact that arrives piece by piece from somewhere else. After every kSavedPartBytes what arrived is made durable, and then
// the record, an object of a few lines: which artifact, the state of SHA-256 there, and the ticket of the object store. So another
// process can go on behind the last part that was saved. The artifact becomes visible only if its bytes are those that were
// announced. Dropped without Finish() or Discard() it leaves what was saved, and its record. Borrows the object store. Not
// thread-safe.
class ArtifactUpload {
 public:
  // A new one. What an earlier one left under this name is freed. Errors: those of ObjectStore::CreateResumable.
  static absl::StatusOr<ArtifactUpload> Begin(ObjectStore& store, UploadName name);

  // Behind what was saved. Errors: NotFound when nothing of use is left: then the record is gone, too; those of ObjectStore.
  static absl::StatusOr<ArtifactUpload> Resume(ObjectStore& store, UploadName name);

  // Frees what a record tells of, then the record. For what nobody will go on with. Errors: those of ObjectStore.
  static absl::Status DiscardSaved(ObjectStore& store, const std::string& record_key);

  // Errors: DataLoss for more bytes than announced; those of ObjectStore.
  absl::Status Append(absl::Span<const std::byte> bytes);

  // Makes the artifact durable and visible. Errors: DataLoss when the bytes are others than announced; those of the store. After
  // all but Unavailable nothing is left to go on with.
  absl::Status Finish();

  // Leaves nothing. What that misses is freed by ObjectStore::RemoveAbandonedWrites.
  void Discard();

  std::uint64_t received_bytes() const { return received_bytes_; }

 private:
  ArtifactUpload(ObjectStore& store, UploadName name, std::unique_ptr<ResumableFile> file);
  absl::Status Save();
  absl::Status Complete();

  ObjectStore* store_;
  UploadName name_;
  std::unique_ptr<ResumableFile> file_;
  Sha256 sha256_;
  std::uint64_t received_bytes_ = 0;
  bool has_record_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_UPLOAD_H_
