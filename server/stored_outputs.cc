#include "server/stored_outputs.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {

absl::Status CheckStored(std::string_view what, const Digest& artifact, const ArtifactStore& store) {
  GPTVQ_ASSIGN_OR_RETURN(const bool stored, store.Contains(artifact));
  if (stored) return absl::OkStatus();
  return Refuse(ErrorReason::kOutputMissing, absl::StrCat(std::string(what), " ", artifact.hex(), " of ",
                                                          artifact.size_bytes(), " bytes is not stored"));
}

absl::Status CheckOutputsStored(const TaskResult& result, const ArtifactStore& store) {
  const std::optional<Digest> boundary = OutputBoundary(result);
  return boundary ? CheckStored("boundary", *boundary, store) : absl::OkStatus();
}

}  // namespace gptvq
