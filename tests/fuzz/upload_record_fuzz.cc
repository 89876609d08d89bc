// Any text as the record of an upload that a coordinator left: gone on with behind some whole parts of the artifact, or deleted.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "platform/object_store/artifact_upload.h"
#include "tests/support/forwarding_object_store.h"
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
class GenerousObjectStore final : public ForwardingObjectStore {
 public:
  using ForwardingObjectStore::ForwardingObjectStore;

  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view, std::string_view) override {
    return std::make_unique<NoFile>();
  }
};

}  // namespace
}  // namespace gptvq

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gptvq::kSavedPartBytes;
  static const gptvq::Digest& artifact =
      *new gptvq::Digest(gptvq::Digest::FromHex(std::string(64, 'a'), 3 * kSavedPartBytes + 1).value());
  const gptvq::UploadName name = {artifact, "uploads/record"};
  gptvq::MemoryObjectStore memory;
  gptvq::GenerousObjectStore store(memory);
  memory.Put(name.record_key, std::string(reinterpret_cast<const char*>(data), size));

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
