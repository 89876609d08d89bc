#ifndef GPTVQ_SERVER_LOST_INPUTS_H_
#define GPTVQ_SERVER_LOST_INPUTS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/object_store/artifact_store.h"

namespace gptvq {

// Which artifacts are truly lost: of those that a worker `named`, and that are among the `inputs` of its task, those that are not in
// the store, or not with the bytes of their digest. Reads every other one of them whole, because a worker may be wrong.
// Errors: Unavailable when the store does not answer, for then nobody knows. What cannot be read for another reason does not count as
// lost: it may be there.
absl::StatusOr<std::vector<Digest>> FindLostInputs(absl::Span<const Digest> named, absl::Span<const Digest> inputs,
                                                   const ArtifactStore& store);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LOST_INPUTS_H_
