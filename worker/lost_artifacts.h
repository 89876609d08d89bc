#ifndef GPTVQ_WORKER_LOST_ARTIFACTS_H_
#define GPTVQ_WORKER_LOST_ARTIFACTS_H_

#include <vector>

#include "absl/status/status.h"
#include "core/base/sha256.h"

namespace gptvq {

// Artifacts that a task should have read and that were gone, or not what their digest says: named by the error of the task in a
// payload, so that the coordinator can have them made again (docs/protocol.md, "Lost artifacts"). Pure.

// `status` with these named beside those that it names already. Precondition: not OK.
absl::Status NameLostArtifacts(absl::Status status, const std::vector<Digest>& artifacts);

// Empty for an error of another kind.
std::vector<Digest> LostArtifactsOf(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_LOST_ARTIFACTS_H_
