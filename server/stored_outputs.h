#ifndef GPTVQ_SERVER_STORED_OUTPUTS_H_
#define GPTVQ_SERVER_STORED_OUTPUTS_H_

#include "absl/status/status.h"
#include "platform/job/task_result.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {

// Whether the artifacts that a result names are in the store: to be asked before the result is committed, because a commit
// makes them reachable. Layers are not named by results; they were stored when they were published.
// Errors: FailedPrecondition (OUTPUT_MISSING) naming the artifact; those of ArtifactStore::Contains.
absl::Status CheckOutputsStored(const TaskResult& result, const ArtifactStore& store);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_STORED_OUTPUTS_H_
