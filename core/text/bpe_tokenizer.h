#ifndef GPTVQ_CORE_TEXT_BPE_TOKENIZER_H_
#define GPTVQ_CORE_TEXT_BPE_TOKENIZER_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/bpe_model.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/text_normalizer.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// One token of the vocabulary as people and callers see it.
struct VocabularyEntry {
  std::string text;  // what Decode prints: bytes of UTF-8, not always whole characters
  TokenKind kind = TokenKind::kUnknown;
};

// The engine behind both file formats. A text passes through, in this order: added tokens found in the text as given;
// between them the normalizer; added tokens found in normalized text; between them the pre-tokenizer; its words, one by
// one, the model.
class BpeTokenizer final : public Tokenizer {
 public:
  // Whether Decode drops one space at the start, the one that encoding has put there.
  enum class LeadingSpace { kKeep, kDrop };

  struct Parts {
    AddedTokens tokens_in_text{{}};
    TextNormalizer normalizer{{}};
    AddedTokens tokens_in_normalized_text{{}};
    PreTokenizer pre_tokenizer{{}};
    BpeModel model{{}};
    std::vector<VocabularyEntry> vocabulary;  // by id; an empty text where no token has the id
    SpecialTokens special_tokens;
    LeadingSpace leading_space = LeadingSpace::kKeep;
  };

  // Preconditions: every id that the parts name is below vocabulary.size().
  explicit BpeTokenizer(Parts parts) : parts_(std::move(parts)) {}

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text) const override;
  std::string Decode(absl::Span<const TokenId> ids) const override;
  std::string TokenText(TokenId id) const override;
  std::int64_t vocabulary_size() const override { return static_cast<std::int64_t>(parts_.vocabulary.size()); }
  const SpecialTokens& special_tokens() const override { return parts_.special_tokens; }
  TokenKind Kind(TokenId id) const override;

 private:
  std::string_view BytesOf(TokenId id) const;
  // Appends the ids of a stretch of the text that holds no token of tokens_in_text.
  absl::Status EncodeStretch(std::string_view stretch, PreTokenizer::Place place, BpeModel::Scratch& scratch,
                             std::vector<TokenId>& ids_out) const;

  const Parts parts_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_BPE_TOKENIZER_H_
