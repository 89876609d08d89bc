#ifndef GPTVQ_SERVER_LAYER_RECEIVER_H_
#define GPTVQ_SERVER_LAYER_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {

// One packed layer on its way into the artifact store, chunk by chunk: nothing is visible before Finish() said OK, and
// nothing stays behind when it is destroyed without. Holds one chunk at a time. Thread-compatible.
class LayerReceiver {
 public:
  // Errors: InvalidArgument (INVALID_FIELD) for an artifact that is empty or larger than kMaxLayerArtifactBytes; those of
  // the store.
  static absl::StatusOr<LayerReceiver> Open(const Digest& digest, ArtifactStore& store);

  // Errors: OutOfRange (CHUNK_OUT_OF_ORDER), DataLoss (CHECKSUM_MISMATCH), InvalidArgument (INVALID_FIELD) for a chunk
  // that is empty or too long, ResourceExhausted (STORE_FULL); those of the store.
  absl::Status Append(std::uint64_t offset, std::string_view data, std::uint32_t crc32c);

  // Makes the artifact durable and visible. Errors: OutOfRange (CHUNK_OUT_OF_ORDER) when bytes are missing, DataLoss
  // (DIGEST_MISMATCH), ResourceExhausted (STORE_FULL); those of the store.
  absl::Status Finish();

  std::uint64_t received_bytes() const { return received_bytes_; }
  bool is_complete() const { return received_bytes_ == digest_.size_bytes(); }

 private:
  LayerReceiver(const Digest& digest, std::unique_ptr<WritableFile> file) : digest_(digest), file_(std::move(file)) {}

  Digest digest_;
  std::unique_ptr<WritableFile> file_;
  std::uint64_t received_bytes_ = 0;
};

inline constexpr std::uint64_t kMaxLayerArtifactBytes = std::uint64_t{64} << 30;

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LAYER_RECEIVER_H_
