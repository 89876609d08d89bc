#ifndef GPTVQ_CORE_TEXT_TOKENIZER_JSON_MODEL_H_
#define GPTVQ_CORE_TEXT_TOKENIZER_JSON_MODEL_H_

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "core/text/bpe_model.h"

namespace gptvq {

class JsonNode;

// The section "model" of a tokenizer.json.
struct ModelSection {
  BpeDefinition definition;
  std::vector<std::string> spellings;            // by id, as in the file; empty where the vocabulary has a gap
  std::unordered_map<std::string, TokenId> ids;  // the inverse
  std::size_t id_limit = 0;                      // every id of the file is below it
};

// `added_token_count`: entries of the section "added_tokens", whose ids may follow those of the model.
// Errors as ParseTokenizerJson.
absl::StatusOr<ModelSection> ParseModel(const JsonNode& section, BpeDefinition::Alphabet alphabet,
                                        std::size_t added_token_count);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TOKENIZER_JSON_MODEL_H_
