#ifndef GPTVQ_SERVER_STORED_OUTPUTS_H_
#define GPTVQ_SERVER_STORED_OUTPUTS_H_

#include <string_view>

#include "absl/status/status.h"
#include "platform/job/task_result.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {

// Whether what a worker names is in the store: to be asked before it is journaled, which makes it reachable.
// Errors: FailedPrecondition (OUTPUT_MISSING) naming the artifact, as `what`; those of ArtifactStore::Contains.
absl::Status CheckStored(std::string_view what, const Digest& artifact, const ArtifactStore& store);

// The same of the artifacts of a result. Layers are not named by results; they were stored when they were published.
absl::Status CheckOutputsStored(const TaskResult& result, const ArtifactStore& store);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_STORED_OUTPUTS_H_
