#ifndef GPTVQ_CORE_TEXT_TOKENIZER_JSON_PIPELINE_H_
#define GPTVQ_CORE_TEXT_TOKENIZER_JSON_PIPELINE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/text/bpe_model.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/text_normalizer.h"

namespace gptvq {

class JsonNode;

// The sections "normalizer" and "pre_tokenizer" of a tokenizer.json; null means none. Sequences come out flat.
// Errors as ParseTokenizerJson.
absl::StatusOr<std::vector<NormalizerStep>> ParseNormalizer(const JsonNode& section);

struct PreTokenizerSection {
  std::vector<PreTokenizerStep> steps;
  BpeDefinition::Alphabet alphabet = BpeDefinition::Alphabet::kCodePoints;  // kBytes when there is a ByteLevel
};
absl::StatusOr<PreTokenizerSection> ParsePreTokenizer(const JsonNode& section);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TOKENIZER_JSON_PIPELINE_H_
