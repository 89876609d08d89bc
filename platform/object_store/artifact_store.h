#ifndef GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_STORE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_STORE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "platform/object_store/artifact_upload.h"
#include "platform/object_store/object_store.h"

namespace gptvq {

// Immutable bytes under the name of their SHA-256: "artifacts/sha256/<first two digits>/<hex>". Writing the same bytes
// twice is harmless, so it needs no lock and no leader. Borrows the object store. Thread-safe.
class ArtifactStore {
 public:
  explicit ArtifactStore(ObjectStore& store) : store_(store) {}

  static std::string KeyOf(const Digest& digest);

  // True if the artifact is there with its full size; its bytes are not read.
  absl::StatusOr<bool> Contains(const Digest& digest) const;

  // A writer for bytes whose digest is known. Close() returns DataLoss, and nothing becomes visible, if they were
  // others.
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateArtifact(const Digest& digest);

  // As those of ArtifactUpload.
  absl::StatusOr<ArtifactUpload> BeginUpload(UploadName name);
  absl::StatusOr<ArtifactUpload> ResumeUpload(UploadName name);

  absl::StatusOr<Digest> PutArtifact(absl::Span<const std::byte> bytes);

  // Stores what `write` appends without ever holding it: `write` is called once to learn the digest and, unless the
  // store has the artifact already, again to store it. It must append the same bytes each time and must not call
  // Close. An artifact that is there is read; a damaged one is replaced.
  absl::StatusOr<Digest> PutArtifact(absl::FunctionRef<absl::Status(WritableFile&)> write);

  // Reads every byte once and compares it with the digest before it returns the file.
  // Errors: NotFound; DataLoss when the size or the digest is wrong; those of ObjectStore.
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenArtifact(const Digest& digest) const;

  // OK when the artifact is gone, or never was.
  absl::Status DeleteArtifact(const Digest& digest) { return store_.Delete(KeyOf(digest)); }

 private:
  ObjectStore& store_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_ARTIFACT_STORE_H_
