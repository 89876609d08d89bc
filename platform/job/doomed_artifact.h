#ifndef GPTVQ_PLATFORM_JOB_DOOMED_ARTIFACT_H_
#define GPTVQ_PLATFORM_JOB_DOOMED_ARTIFACT_H_

#include <array>
#include <string_view>

#include "core/base/sha256.h"
#include "platform/clock.h"

namespace gptvq {

// An artifact that nobody needs any more, on its way out of the store; one row of the journal. An artifact without a row is
// needed, or not known to the journal at all: neither is ever deleted (docs/storage.md, "Garbage").

enum class ArtifactKind {
  kLayer,       // a packed layer of a job that ended
  kBoundary,    // activations that every task which reads them has read
  kCheckpoint,  // what was finished of a layer that is published, or finished further
  kUnknown,     // found in the store, named by no job
};
inline constexpr std::array kAllArtifactKinds = {ArtifactKind::kLayer, ArtifactKind::kBoundary,
                                                 ArtifactKind::kCheckpoint, ArtifactKind::kUnknown};

enum class DoomState {
  kDoomed,    // is deleted when its grace is over, unless a commit names it before
  kDeleting,  // being deleted, or deleted: must not be named
};
inline constexpr std::array kAllDoomStates = {DoomState::kDoomed, DoomState::kDeleting};

std::string_view Name(ArtifactKind kind);  // layer, boundary, checkpoint, unknown
std::string_view Name(DoomState state);    // doomed, deleting

struct DoomedArtifact {
  Digest artifact;
  ArtifactKind kind = ArtifactKind::kLayer;
  DoomState state = DoomState::kDoomed;
  WallTime since;  // doomed; its grace begins here

  friend bool operator==(const DoomedArtifact&, const DoomedArtifact&) = default;
};

// What happens to a row. Each step has one state before it, so that a writer with an outdated memory is refused.
enum class DoomStep {
  kDoom,         // none -> DOOMED
  kSpare,        // DOOMED -> none
  kBeginDelete,  // DOOMED -> DELETING
  kForget,       // DELETING -> none
};

struct DoomChange {
  DoomStep step = DoomStep::kDoom;
  DoomedArtifact row;  // kDoom: as it will be; else as it was
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_DOOMED_ARTIFACT_H_
