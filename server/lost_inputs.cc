#include "server/lost_inputs.h"

#include <algorithm>
#include <set>

namespace gptvq {

absl::StatusOr<std::vector<Digest>> FindLostInputs(absl::Span<const Digest> named, absl::Span<const Digest> inputs,
                                                   const ArtifactStore& store) {
  std::vector<Digest> lost;
  for (const Digest& artifact : std::set<Digest>(named.begin(), named.end())) {
    if (std::find(inputs.begin(), inputs.end(), artifact) == inputs.end()) continue;
    const absl::Status found = store.OpenArtifact(artifact).status();
    if (absl::IsUnavailable(found)) return found;
    if (absl::IsNotFound(found) || absl::IsDataLoss(found)) lost.push_back(artifact);
  }
  return lost;
}

}  // namespace gptvq
