#include "core/format/inspect.h"

#include "core/base/status_macros.h"
#include "core/format/packed_checkpoint.h"
#include "core/format/packed_tensors.h"

namespace gptvq {
namespace {}  // namespace

absl::StatusOr<CheckpointSummary> InspectCheckpoint(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(const auto manifest_file, directory.Open(kManifestFile));
  GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(*manifest_file, kMaxManifestBytes));
  auto manifest = ParseManifest(text);
  if (!manifest.ok()) return WithContext(manifest.status(), kManifestFile);
  GPTVQ_ASSIGN_OR_RETURN(const PackedCheckpoint checkpoint, PackedCheckpoint::Open(directory));

  CheckpointSummary summary;
  summary.manifest = *std::move(manifest);
  summary.manifest_digest = Digest::Of(AsBytes(text));
  summary.modules = checkpoint.modules();
  summary.output_bytes = text.size();
  for (const auto& [file, digest] : summary.manifest.files) summary.output_bytes += digest.size_bytes();
  for (const std::string& name : checkpoint.tensors().TensorNames()) {
    const TensorInfo& tensor = summary.tensors.emplace_back(*checkpoint.tensors().Find(name));
    (IsPackedTensorName(name) ? summary.packed_bytes : summary.other_bytes) += tensor.byte_count();
  }
  return summary;
}

}  // namespace gptvq
