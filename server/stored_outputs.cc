#include "server/stored_outputs.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {

absl::Status CheckOutputsStored(const TaskResult& result, const ArtifactStore& store) {
  const std::optional<Digest> boundary = OutputBoundary(result);
  if (!boundary) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const bool stored, store.Contains(*boundary));
  if (stored) return absl::OkStatus();
  return Refuse(ErrorReason::kOutputMissing,
                absl::StrCat("boundary ", boundary->hex(), " of ", boundary->size_bytes(), " bytes is not stored"));
}

}  // namespace gptvq
