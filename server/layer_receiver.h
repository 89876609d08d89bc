#ifndef GPTVQ_SERVER_LAYER_RECEIVER_H_
#define GPTVQ_SERVER_LAYER_RECEIVER_H_

#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {

// One packed layer on its way into the artifact store, chunk by chunk: nothing is visible before Finish() said OK. Destroyed
// without, it leaves what was saved of it, 8 MiB or a multiple, for Resume. Holds one chunk at a time, and the object store
// a part of 8 MiB. Thread-compatible.
class LayerReceiver {
 public:
  // Errors: InvalidArgument (INVALID_FIELD) for an artifact that is empty or larger than kMaxLayerArtifactBytes; those of
  // the store.
  static absl::StatusOr<LayerReceiver> Open(UploadName name, ArtifactStore& store);

  // Behind what is saved under that name. Errors: NotFound when nothing is; those of the store.
  static absl::StatusOr<LayerReceiver> Resume(UploadName name, ArtifactStore& store);

  // Errors: OutOfRange (CHUNK_OUT_OF_ORDER), DataLoss (CHECKSUM_MISMATCH), InvalidArgument (INVALID_FIELD) for a chunk
  // that is empty or too long, ResourceExhausted (STORE_FULL); those of the store.
  absl::Status Append(std::uint64_t offset, std::string_view data, std::uint32_t crc32c);

  // Makes the artifact durable and visible. Errors: OutOfRange (CHUNK_OUT_OF_ORDER) when bytes are missing, DataLoss
  // (DIGEST_MISMATCH), ResourceExhausted (STORE_FULL); those of the store.
  absl::Status Finish();

  // Leaves nothing, for uploads that nobody may go on with.
  void Discard() { upload_.Discard(); }

  std::uint64_t received_bytes() const { return upload_.received_bytes(); }
  bool is_complete() const { return received_bytes() == digest_.size_bytes(); }

 private:
  LayerReceiver(const Digest& digest, ArtifactUpload upload) : digest_(digest), upload_(std::move(upload)) {}

  Digest digest_;
  ArtifactUpload upload_;
};

inline constexpr std::uint64_t kMaxLayerArtifactBytes = std::uint64_t{64} << 30;

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LAYER_RECEIVER_H_
