#include "server/layer_receiver.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/crc32c.h"
#include "platform/rpc/limits.h"

namespace gptvq {
namespace {

constexpr std::chrono::milliseconds kStoreFullPause(5'000);

absl::Status OfStore(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    // The worker keeps the layer and its lease, and sends the layer again when there may be space.
    return WithRetryAfter(Refuse(ErrorReason::kStoreFull, absl::StrCat("object store: ", status.message())),
                          kStoreFullPause);
  }
  return status;
}

}  // namespace

absl::StatusOr<LayerReceiver> LayerReceiver::Open(UploadName name, ArtifactStore& store) {
  const Digest digest = name.artifact;
  if (digest.size_bytes() == 0 || digest.size_bytes() > kMaxLayerArtifactBytes) {
    return Refuse(ErrorReason::kInvalidField, absl::StrCat("digest.size_bytes: ", digest.size_bytes(),
                                                           " is not between 1 and ", kMaxLayerArtifactBytes));
  }
  absl::StatusOr<ArtifactUpload> upload = store.BeginUpload(std::move(name));
  if (!upload.ok()) return OfStore(upload.status());
  return LayerReceiver(digest, *std::move(upload));
}

absl::StatusOr<LayerReceiver> LayerReceiver::Resume(UploadName name, ArtifactStore& store) {
  const Digest digest = name.artifact;
  GPTVQ_ASSIGN_OR_RETURN(ArtifactUpload upload, store.ResumeUpload(std::move(name)));
  return LayerReceiver(digest, std::move(upload));
}

absl::Status LayerReceiver::Append(std::uint64_t offset, std::string_view data, std::uint32_t crc32c) {
  if (data.empty() || data.size() > kMaxChunkBytes) {
    return Refuse(ErrorReason::kInvalidField,
                  absl::StrCat("chunk.data: ", data.size(), " bytes, not between 1 and ", kMaxChunkBytes));
  }
  if (offset != received_bytes() || data.size() > digest_.size_bytes() - received_bytes()) {
    return Refuse(ErrorReason::kChunkOutOfOrder,
                  absl::StrCat("chunk of ", data.size(), " bytes at offset ", offset, " after ", received_bytes(),
                               " of ", digest_.size_bytes(), " bytes"));
  }
  if (Crc32c(data) != crc32c) {
    return Refuse(ErrorReason::kChecksumMismatch, absl::StrCat("chunk at offset ", offset, " has another CRC-32C"));
  }
  return OfStore(upload_.Append(AsBytes(data)));
}

absl::Status LayerReceiver::Finish() {
  if (!is_complete()) {
    return Refuse(ErrorReason::kChunkOutOfOrder,
                  absl::StrCat("stream ended after ", received_bytes(), " of ", digest_.size_bytes(), " bytes"));
  }
  const absl::Status closed = upload_.Finish();
  if (absl::IsDataLoss(closed)) {
    return Refuse(ErrorReason::kDigestMismatch, absl::StrCat("artifact ", digest_.hex(), ": ", closed.message()));
  }
  return OfStore(closed);
}

}  // namespace gptvq
