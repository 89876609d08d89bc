#include "worker/task_artifacts.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

// What an error of reading an artifact says of it.
absl::Status OfArtifact(const absl::Status& status, const Digest& digest) {
  if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
  return NameLostArtifacts(absl::DataLossError(status.message()), {digest});
}

// It may be deleted or damaged as long as it is read.
class ArtifactFile final : public RandomAccessFile {
 public:
  ArtifactFile(const Digest& digest, std::unique_ptr<RandomAccessFile> file)
      : digest_(digest), file_(std::move(file)) {}

  std::string_view name() const override { return file_->name(); }
  std::uint64_t size() const override { return file_->size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    return OfArtifact(file_->ReadAt(offset, bytes_out), digest_);
  }

 private:
  const Digest digest_;
  const std::unique_ptr<RandomAccessFile> file_;
};

}  // namespace

absl::StatusOr<TaskArtifacts> TaskArtifacts::Open(const Storage& storage, const std::string& uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri parsed, ObjectUri::Parse(uri));
  absl::StatusOr<std::unique_ptr<ObjectStore>> store = storage.WithoutRoots().OpenStore(parsed);
  if (store.ok()) return TaskArtifacts(*std::move(store));
  return absl::UnavailableError(
      absl::StrCat("the artifact store is not reachable from this worker: ", store.status().message()));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> TaskArtifacts::Read(const Digest& digest,
                                                                      ByteObserver observe) const {
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = ArtifactStore(*objects_).OpenArtifact(digest);
  if (!file.ok()) return OfArtifact(file.status(), digest);
  return ObserveReads(std::make_unique<ArtifactFile>(digest, *std::move(file)), std::move(observe));
}

absl::StatusOr<std::vector<LayerArtifact>> TaskArtifacts::ReadLayers(const std::vector<PublishedLayer>& layers,
                                                                     const ByteObserver& observe) const {
  std::vector<LayerArtifact> artifacts;
  absl::Status lost;
  for (const PublishedLayer& published : layers) {
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = Read(published.artifact, observe);
    if (!LostArtifactsOf(file.status()).empty()) {
      const absl::Status of_layer = WithContext(file.status(), absl::StrCat("layer ", published.layer));
      lost = lost.ok() ? of_layer : NameLostArtifacts(lost, {published.artifact});
      continue;
    }
    GPTVQ_RETURN_IF_ERROR(file.status());
    GPTVQ_ASSIGN_OR_RETURN(LayerArtifact artifact, LayerArtifact::Open(*std::move(file)));
    if (artifact.layer() != published.layer) {
      return absl::DataLossError(
          absl::StrCat("the artifact of layer ", artifact.layer(), " was given for layer ", published.layer));
    }
    artifacts.push_back(std::move(artifact));
  }
  GPTVQ_RETURN_IF_ERROR(lost);
  return artifacts;
}

}  // namespace gptvq
