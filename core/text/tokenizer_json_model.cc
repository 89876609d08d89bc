#include "core/text/tokenizer_json_model.h"

#include <array>
#include <utility>

#include "core/base/status_macros.h"
#include "core/text/json_node.h"
#include "core/text/sentencepiece_spelling.h"
#include "core/text/tokenizer_json.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

// Byte-level vocabularies spell every byte as one printable character (GPT-2's encoder.py): bytes that are printable
// in Latin-1 as themselves, the others in order as U+0100, U+0101, ...
constexpr char32_t kFirstStandIn = 0x100;
constexpr char32_t kLastCharacter = 0x143;

constexpr bool StandsForItself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

constexpr std::array<int, kLastCharacter + 1> kByteOfCharacter = [] {
  std::array<int, kLastCharacter + 1> bytes{};
  bytes.fill(-1);
  char32_t stand_in = kFirstStandIn;
  for (unsigned byte = 0; byte < 256; ++byte) bytes[StandsForItself(byte) ? byte : stand_in++] = static_cast<int>(byte);
  return bytes;
}();

// The bytes a token of a byte-level vocabulary stands for; empty when a character of it stands for none.
std::string BytesOfSpelling(std::string_view spelling) {
  std::string bytes;
  for (std::size_t position = 0; position < spelling.size();) {
    const unicode::Character c = unicode::DecodeAt(spelling, position);
    if (c.code_point > kLastCharacter || kByteOfCharacter[c.code_point] < 0) return "";
    bytes += static_cast<char>(kByteOfCharacter[c.code_point]);
    position = c.end;
  }
  return bytes;
}

absl::Status ParseVocabulary(const JsonNode& vocab, std::size_t added_token_count, ModelSection& section) {
  if (!vocab.value().is_object() || vocab.value().empty()) {
    return vocab.Invalid("not an object with at least one token");
  }
  const std::size_t entry_count = vocab.value().size();
  if (entry_count > kMaxVocabularyEntries) return vocab.TooMany(entry_count, kMaxVocabularyEntries);
  section.id_limit = entry_count + added_token_count + kMaxIdGaps;
  section.ids.reserve(entry_count);
  std::vector<bool> is_taken;
  for (const auto& [spelling, value] : vocab.value().items()) {
    const JsonNode node(value, absl::StrCat("model.vocab['", spelling.substr(0, 80), "']"));
    if (spelling.size() > kMaxTokenBytes) return node.TooMany(spelling.size(), kMaxTokenBytes);
    GPTVQ_ASSIGN_OR_RETURN(const TokenId id, node.Id(section.id_limit));
    if (id >= static_cast<TokenId>(is_taken.size())) {
      is_taken.resize(id + 1);
      section.spellings.resize(id + 1);
    }
    if (is_taken[id]) {
      return node.Invalid(absl::StrCat("id ", id, " is already that of '", section.spellings[id].substr(0, 80), "'"));
    }
    is_taken[id] = true;
    section.spellings[id] = spelling;
    section.ids[spelling] = id;
  }
  return absl::OkStatus();
}

// The two parts of one entry of "merges": "a b" or ["a", "b"].
absl::StatusOr<std::pair<std::string, std::string>> ParseMerge(const JsonNode& node) {
  if (node.value().is_string()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string_view text, node.String());
    const std::size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      return node.Invalid("not two tokens with one space between them");
    }
    return std::pair(std::string(text.substr(0, space)), std::string(text.substr(space + 1)));
  }
  GPTVQ_ASSIGN_OR_RETURN(const auto parts, node.Elements());
  if (parts.size() != 2) return node.Invalid("not a pair of tokens");
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view left, parts[0].String());
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view right, parts[1].String());
  return std::pair(std::string(left), std::string(right));
}

absl::Status ParseMerges(const JsonNode& merges, ModelSection& section) {
  if (!merges.value().is_array()) return merges.Invalid("not an array");
  if (merges.value().size() > kMaxMerges) return merges.TooMany(merges.value().size(), kMaxMerges);
  std::vector<BpeMerge>& result = section.definition.merges;
  result.reserve(merges.value().size());
  std::size_t index = 0;
  for (const auto& value : merges.value()) {
    const JsonNode node(value, absl::StrCat("model.merges[", index++, "]"));
    GPTVQ_ASSIGN_OR_RETURN(const auto parts, ParseMerge(node));
    BpeMerge merge{.rank = static_cast<std::int32_t>(result.size())};
    const std::pair<std::string, TokenId*> names[] = {
        {parts.first, &merge.left}, {parts.second, &merge.right}, {parts.first + parts.second, &merge.result}};
    for (const auto& [spelling, id_out] : names) {
      const auto found = section.ids.find(spelling);
      if (found == section.ids.end()) {
        return node.Invalid(absl::StrCat("'", spelling.substr(0, 80), "' is not in the vocabulary"));
      }
      *id_out = found->second;
    }
    result.push_back(merge);
  }
  return absl::OkStatus();
}

// What would change ids in a way the model does not know: refused unless switched off.
absl::Status RefuseForeignOptions(const JsonNode& section) {
  const JsonNode dropout = section.Child("dropout");
  if (!dropout.is_null() && dropout.value() != 0.0) return dropout.Unsupported("random dropout of merges");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string_view affix, section.Child(key).StringOrEmpty());
    if (!affix.empty()) return section.Child(key).Unsupported(absl::StrCat("'", std::string(affix.substr(0, 80)), "'"));
  }
  return absl::OkStatus();
}

absl::Status ParseFallbacks(const JsonNode& section, ModelSection& result) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view unknown, section.Child("unk_token").StringOrEmpty());
  if (!unknown.empty()) {
    const auto found = result.ids.find(std::string(unknown));
    if (found == result.ids.end()) return section.Child("unk_token").Invalid("not in the vocabulary");
    result.definition.unknown = found->second;
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool fuses_unknown, section.Child("fuse_unk").BoolOr(false));
  if (fuses_unknown) result.definition.unknown_runs = BpeDefinition::UnknownRuns::kFused;
  GPTVQ_ASSIGN_OR_RETURN(const bool looks_up_words, section.Child("ignore_merges").BoolOr(false));
  if (looks_up_words) result.definition.whole_words = BpeDefinition::WholeWords::kLookUpFirst;
  GPTVQ_ASSIGN_OR_RETURN(const bool falls_back, section.Child("byte_fallback").BoolOr(false));
  if (!falls_back) return absl::OkStatus();
  if (result.definition.alphabet == BpeDefinition::Alphabet::kBytes) {
    return section.Child("byte_fallback").Unsupported("together with the ByteLevel pre-tokenizer");
  }
  result.definition.byte_tokens.emplace().fill(-1);
  for (std::size_t id = 0; id < result.spellings.size(); ++id) {
    const auto byte = ByteOfSpelling(result.spellings[id]);
    if (byte.has_value()) (*result.definition.byte_tokens)[*byte] = static_cast<TokenId>(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelSection> ParseModel(const JsonNode& section, BpeDefinition::Alphabet alphabet,
                                        std::size_t added_token_count) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view type, section.Child("type").StringOrEmpty());
  if (type != "BPE" && !type.empty()) return section.Unsupported(absl::StrCat("model type '", std::string(type), "'"));
  GPTVQ_RETURN_IF_ERROR(RefuseForeignOptions(section));
  ModelSection result;
  result.definition.alphabet = alphabet;
  GPTVQ_RETURN_IF_ERROR(ParseVocabulary(section.Child("vocab"), added_token_count, result));
  GPTVQ_RETURN_IF_ERROR(ParseMerges(section.Child("merges"), result));
  GPTVQ_RETURN_IF_ERROR(ParseFallbacks(section, result));
  result.definition.tokens = result.spellings;
  if (alphabet == BpeDefinition::Alphabet::kBytes) {
    for (std::string& token : result.definition.tokens) token = BytesOfSpelling(token);
  }
  return result;
}

}  // namespace gptvq
