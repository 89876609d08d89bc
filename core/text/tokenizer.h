#ifndef GPTVQ_CORE_TEXT_TOKENIZER_H_
#define GPTVQ_CORE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"

namespace gptvq {

using TokenId = std::int32_t;

// What a token stands for. kByte: one byte of a character that has no token of its own (byte fallback); the tokens of
// byte-level vocabularies are kNormal.
enum class TokenKind { kNormal, kSpecial, kByte, kUnknown };

// The tokens with a role. Absent where the files do not name one.
struct SpecialTokens {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> unknown;
  // What the tokenizer puts around a document: usually one BOS before it or nothing, and nothing after it.
  std::vector<TokenId> document_prefix;
  std::vector<TokenId> document_suffix;
};

// Text to token ids and back. Immutable after loading: any number of threads may encode with one instance.
// Deterministic: ids depend on the text and the files alone.
class Tokenizer {
 public:
  // Longer texts are refused by Encode.
  static constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;

  virtual ~Tokenizer() = default;

  // The ids of `text`, without document_prefix and document_suffix, never truncated and never padded. Identical to
  // those of Hugging Face `tokenizers` (tokenizer.json) and of `sentencepiece` (tokenizer.model), for text of
  // characters that both Unicode versions know. Time O(n log n) in the bytes of the text; memory proportional to them.
  // Errors: InvalidArgument when the text is not UTF-8, with the byte offset, is longer than kMaxTextBytes, or grows
  // beyond reason by normalization.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text) const = 0;

  // The text of `ids`, special tokens spelled out, for people to read: well-formed UTF-8, with U+FFFD where the ids
  // cut a character in two or are not in the vocabulary.
  virtual std::string Decode(absl::Span<const TokenId> ids) const = 0;

  // The text of one token inside a text, e.g. " the" with its space; otherwise as Decode.
  virtual std::string TokenText(TokenId id) const = 0;

  // One more than the highest id. A model's embedding may have more rows (padding), never fewer.
  virtual std::int64_t vocabulary_size() const = 0;

  virtual const SpecialTokens& special_tokens() const = 0;

  // Precondition: 0 <= id < vocabulary_size().
  virtual TokenKind Kind(TokenId id) const = 0;
};

// The tokenizer of a Hugging Face model directory: from tokenizer.json when there is one, otherwise from
// tokenizer.model.
// tokenizer_config.json, where present, names BOS and EOS and decides with add_bos_token and add_eos_token whether
// they are put around a document; where it is silent, tokenizer.json's post-processor decides, and a tokenizer.model
// gets BOS.
// Errors: NotFound when the directory has neither file; Unimplemented for a kind of tokenizer, normalizer,
// pre-tokenizer, expression or post-processor that is not known, naming it; InvalidArgument for a file that is
// malformed or passes a limit on sizes. Messages start with the file's name.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const ReadableDirectory& directory);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TOKENIZER_H_
