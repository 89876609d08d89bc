#ifndef GPTVQ_CORE_MODEL_EMBEDDING_H_
#define GPTVQ_CORE_MODEL_EMBEDDING_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/format/checkpoint.h"
#include "core/model/activations.h"
#include "core/model/model_config.h"

namespace gptvq {

// The activations in front of layer 0: the embedding of every token. tokens [samples, length], in host memory.
// The table is read once, front to back, in pieces of at most kTableTileBytes in f32 that hold at least one row; pieces
// without a token of ours are skipped. Memory: one piece, and an index of the tokens.
// Errors: InvalidArgument for an id outside the vocabulary, naming sample and position; those of reading.
absl::StatusOr<Activations> EmbedTokens(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                                        MatrixView<const std::int32_t> tokens);

// How much of a vocabulary-sized table is in host memory at a time.
inline constexpr std::int64_t kTableTileBytes = 16 << 20;

// Rows of a vocabulary table per tile: at least 1.
std::int64_t TableTileRows(const ModelConfig& config);

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_EMBEDDING_H_
