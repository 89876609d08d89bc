#include "core/model/embedding.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/model/model_tensors.h"

namespace gptvq {
namespace {

struct TokenPlace {
  std::int32_t id = 0;
  std::int64_t row = 0;  // of the activations
};

// All tokens, by id.
absl::StatusOr<std::vector<TokenPlace>> SortTokens(const ModelConfig& config, MatrixView<const std::int32_t> tokens) {
  std::vector<TokenPlace> places;
  places.reserve(static_cast<std::size_t>(tokens.rows * tokens.cols));
  for (std::int64_t sample = 0; sample < tokens.rows; ++sample) {
    for (std::int64_t position = 0; position < tokens.cols; ++position) {
      const std::int32_t id = tokens.at(sample, position);
      if (id < 0 || id >= config.vocab_size) {
        return absl::InvalidArgumentError(absl::StrCat("token id ", id, " at position ", position, " of sample ",
                                                       sample, " is outside the vocabulary of ", config.vocab_size));
      }
      places.push_back({id, sample * tokens.cols + position});
    }
  }
  std::sort(places.begin(), places.end(),
            [](const TokenPlace& a, const TokenPlace& b) { return a.id != b.id ? a.id < b.id : a.row < b.row; });
  return places;
}

}  // namespace

std::int64_t TableTileRows(const ModelConfig& config) {
  const std::int64_t row_bytes = config.hidden_size * static_cast<std::int64_t>(sizeof(float));
  return std::clamp<std::int64_t>(kTableTileBytes / row_bytes, 1, config.vocab_size);
}

absl::StatusOr<Activations> EmbedTokens(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                                        MatrixView<const std::int32_t> tokens) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TokenPlace> places, SortTokens(config, tokens));
  GPTVQ_ASSIGN_OR_RETURN(Activations activations,
                         Activations::Allocate(backend, {tokens.rows, tokens.cols, config.hidden_size}));
  const std::int64_t tile_rows = TableTileRows(config);
  std::vector<float> tile(static_cast<std::size_t>(tile_rows * config.hidden_size));
  for (std::size_t begin = 0, end = 0; begin < places.size(); begin = end) {
    // A tile begins at the first id that is still to be read, and ends at the last of ours that it can hold.
    const std::int64_t first_id = places[begin].id;
    while (end < places.size() && places[end].id < first_id + tile_rows) ++end;
    const MatrixView<float> table(tile.data(), places[end - 1].id - first_id + 1, config.hidden_size);
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadRows(kEmbeddingTensor, first_id, table));
    for (std::size_t i = begin; i < end; ++i) {
      GPTVQ_RETURN_IF_ERROR(activations.CopyRowsFromHost(places[i].row, table.Rows(places[i].id - first_id, 1)));
    }
  }
  return activations;
}

}  // namespace gptvq
