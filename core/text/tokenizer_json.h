#ifndef GPTVQ_CORE_TEXT_TOKENIZER_JSON_H_
#define GPTVQ_CORE_TEXT_TOKENIZER_JSON_H_

#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_config.h"

namespace gptvq {

// Limits of a tokenizer.json; the largest published ones have 36 MB, 262 144 tokens, 580 000 merges, tokens of 256
// bytes.
inline constexpr std::size_t kMaxTokenizerJsonBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxVocabularyEntries = std::size_t{1} << 20;
inline constexpr std::size_t kMaxMerges = std::size_t{1} << 21;
inline constexpr std::size_t kMaxTokenBytes = 4096;
inline constexpr std::size_t kMaxAddedTokens = std::size_t{1} << 16;
inline constexpr std::size_t kMaxAddedTokenBytes = 1024;
inline constexpr int kMaxPipelineSteps = 8;  // normalizers, pre-tokenizers, post-processors: each after flattening
inline constexpr int kMaxPipelineDepth = 4;  // of Sequence inside Sequence
// Ids must be below the number of entries plus added tokens plus this many gaps, so that tables by id stay small.
inline constexpr std::size_t kMaxIdGaps = 4096;

// The tokenizer a Hugging Face tokenizer.json describes. Known are: model BPE; normalizers NFC, Prepend, Replace (of a
// string), Sequence; pre-tokenizers ByteLevel, Split (the expressions of WordSplitter), Digits, Metaspace, Sequence;
// post-processors ByteLevel, TemplateProcessing (the single template), Sequence; added tokens of every sort.
// Truncation, padding and decoder are not looked at: Encode neither cuts nor pads, and Decode follows from the
// vocabulary. Where an added token is not in the model's vocabulary, its id is the one the file gives.
// Errors: Unimplemented for anything else, by its name and place in the file; InvalidArgument for malformed JSON and
// for a vocabulary with duplicate, negative, fractional or far-away ids, merges of unknown tokens and the like, naming
// them, or when one of the limits above is passed.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizerJson(std::string_view json_text,
                                                              const TokenizerConfig& config = {});

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TOKENIZER_JSON_H_
