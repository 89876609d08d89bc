#ifndef GPTVQ_CORE_MODEL_OUTPUT_HEAD_H_
#define GPTVQ_CORE_MODEL_OUTPUT_HEAD_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/format/checkpoint.h"
#include "core/model/activations.h"
#include "core/model/model_config.h"

namespace gptvq {

// What follows the last decoder layer. The logits of a token are its normed activations times the output head, of which
// only a tile of rows is in memory at a time.

// x := final norm(x). Errors: those of reading.
absl::Status ApplyFinalNorm(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint, Activations& x);

// Tiles of the vocabulary that ForEachHeadTile goes through.
std::int64_t HeadTileCount(const ModelConfig& config);

// Calls body(first token, head rows [V, hidden] in backend memory) for the tiles of the vocabulary in order; each has
// TableTileRows rows, the last may have fewer. Memory: one tile in host memory, one in the backend's. A status other
// than OK ends the loop with that status. Errors: those of reading and of `body`.
absl::Status ForEachHeadTile(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                             absl::FunctionRef<absl::Status(std::int64_t first_token, ConstTensorView rows)> body);

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_OUTPUT_HEAD_H_
