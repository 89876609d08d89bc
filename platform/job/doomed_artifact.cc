#include "platform/job/doomed_artifact.h"

namespace gptvq {

std::string_view Name(ArtifactKind kind) {
  switch (kind) {
    case ArtifactKind::kLayer: return "layer";
    case ArtifactKind::kBoundary: return "boundary";
    case ArtifactKind::kCheckpoint: return "checkpoint";
    case ArtifactKind::kUnknown: return "unknown";
  }
  return "";
}

std::string_view Name(DoomState state) {
  switch (state) {
    case DoomState::kDoomed: return "doomed";
    case DoomState::kDeleting: return "deleting";
  }
  return "";
}

}  // namespace gptvq
