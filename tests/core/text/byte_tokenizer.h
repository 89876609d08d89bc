#ifndef GPTVQ_TESTS_CORE_TEXT_BYTE_TOKENIZER_H_
#define GPTVQ_TESTS_CORE_TEXT_BYTE_TOKENIZER_H_

#include <string>
#include <vector>

#include "core/text/tokenizer.h"

namespace gptvq {

// The simplest tokenizer: a byte's value is its id, 256 is BOS and stands before every document, 257 EOS, 258 unknown.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    special_.bos = 256;
    special_.eos = 257;
    special_.unknown = 258;
    special_.document_prefix = {256};
  }

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string Decode(absl::Span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += TokenText(id);
    return text;
  }
  std::string TokenText(TokenId id) const override { return id < 256 ? std::string(1, static_cast<char>(id)) : "<s>"; }
  std::int64_t vocabulary_size() const override { return 259; }
  const SpecialTokens& special_tokens() const override { return special_; }
  TokenKind Kind(TokenId id) const override {
    if (id == 258) return TokenKind::kUnknown;
    if (id >= 256) return TokenKind::kSpecial;
    return id >= 128 ? TokenKind::kByte : TokenKind::kNormal;
  }

 private:
  SpecialTokens special_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_TEXT_BYTE_TOKENIZER_H_
