#include "core/text/bpe_tokenizer.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace

absl::StatusOr<std::vector<TokenId>> BpeTokenizer::Encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("text of ", text.size(), " bytes, more than the limit of ", kMaxTextBytes));
  }
  const std::size_t invalid = unicode::FindInvalidUtf8(text);
  if (invalid < text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", invalid));
  }
  std::vector<TokenId> ids;
  BpeModel::Scratch scratch;
  absl::Status status;
  parts_.tokens_in_text.Cut(
      text,
      [&](std::string_view stretch) {
        const auto place =
            stretch.data() == text.data() ? PreTokenizer::Place::kStartOfText : PreTokenizer::Place::kAfterToken;
        status.Update(EncodeStretch(stretch, place, scratch, ids));
      },
      [&](TokenId id) { ids.push_back(id); });
  if (!status.ok()) return status;
  return ids;
}

absl::Status BpeTokenizer::EncodeStretch(std::string_view stretch, PreTokenizer::Place place,
                                         BpeModel::Scratch& scratch, std::vector<TokenId>& ids_out) const {
  std::string buffer;
  std::string_view normalized = stretch;
  if (!parts_.normalizer.is_identity()) {
    GPTVQ_ASSIGN_OR_RETURN(buffer, parts_.normalizer.Normalize(stretch));
    normalized = buffer;
  }
  parts_.tokens_in_normalized_text.Cut(
      normalized,
      [&](std::string_view piece) {
        const auto piece_place = piece.data() == normalized.data() ? place : PreTokenizer::Place::kAfterToken;
        parts_.pre_tokenizer.ForEachWord(
            piece, piece_place, [&](std::string_view word) { parts_.model.EncodeWord(word, scratch, ids_out); });
      },
      [&](TokenId id) { ids_out.push_back(id); });
  return absl::OkStatus();
}

std::string BpeTokenizer::Decode(absl::Span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) bytes += BytesOf(id);
  const bool drops_space = parts_.leading_space == LeadingSpace::kDrop && bytes.starts_with(' ');
  return unicode::ReplaceInvalidUtf8(std::string_view(bytes).substr(drops_space ? 1 : 0));
}

std::string BpeTokenizer::TokenText(TokenId id) const { return unicode::ReplaceInvalidUtf8(BytesOf(id)); }

std::string_view BpeTokenizer::BytesOf(TokenId id) const {
  const bool is_known = id >= 0 && id < vocabulary_size();
  return is_known ? std::string_view(parts_.vocabulary[id].text) : kReplacementCharacter;
}

TokenKind BpeTokenizer::Kind(TokenId id) const {
  GPTVQ_CHECK(id >= 0 && id < vocabulary_size());
  return parts_.vocabulary[id].kind;
}

}  // namespace gptvq
