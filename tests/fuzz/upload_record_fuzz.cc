// Any text as the record of an upload that a coordinator left: gone on with behind some whole parts of the artifact, or deleted.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "platform/object_store/artifact_upload.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {
namespace {

class NoFile final : public ResumableFile {
 public:
  absl::Status Append(absl::Span<const std::byte>) override { return absl::OkStatus(); }
  absl::Status Close() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Save() override { return "ticket"; }
  void Discard() override {}
};

// Has whatever a ticket asks for.
class GenerousObjectStore final : public ObjectStore {
 public:
  std::string_view name() const override { return store.name(); }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override { return store.Create(key); }
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override {
    return store.CreateResumable(key);
  }
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view, std::string_view) override {
    return std::make_unique<NoFile>();
  }
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override {
    return store.PutNew(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override {
    return store.Open(key);
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override { return store.Stat(key); }
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override {
    return store.List(directory, scope);
  }
  absl::Status Delete(std::string_view key) override { return store.Delete(key); }
  absl::Status RemoveAbandonedWrites(ListScope scope) override { return store.RemoveAbandonedWrites(scope); }

  MemoryObjectStore store;
};

}  // namespace
}  // namespace gptvq

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gptvq::kSavedPartBytes;
  static const gptvq::Digest& artifact =
      *new gptvq::Digest(gptvq::Digest::FromHex(std::string(64, 'a'), 3 * kSavedPartBytes + 1).value());
  const gptvq::UploadName name = {artifact, "uploads/record"};
  gptvq::GenerousObjectStore store;
  store.store.Put(name.record_key, std::string(reinterpret_cast<const char*>(data), size));

  const auto upload = gptvq::ArtifactUpload::Resume(store, name);

  if (upload.ok()) {
    const std::uint64_t bytes = upload->received_bytes();
    if (bytes == 0 || bytes % kSavedPartBytes != 0 || bytes >= artifact.size_bytes()) std::abort();
  } else if (!absl::IsNotFound(upload.status()) || store.Stat(name.record_key).ok()) {
    std::abort();
  }
  if (!gptvq::ArtifactUpload::DiscardSaved(store, name.record_key).ok()) std::abort();
  if (store.Stat(name.record_key).ok()) std::abort();
  return 0;
}
