#include "core/text/sentencepiece_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/sentencepiece_spelling.h"
#include "core/text/tokenizer_json.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

// One field of a protobuf message on the wire.
struct WireField {
  std::uint64_t number = 0;
  std::uint64_t value = 0;  // of a varint or fixed field
  std::string_view bytes;   // of a length-delimited field
};

// The fields of a message, one after the other (protobuf's encoding, wire types 0, 1, 2 and 5). Borrows the bytes.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  // nullopt at the end of the message.
  absl::StatusOr<std::optional<WireField>> Next() {
    if (position_ == bytes_.size()) return std::nullopt;
    GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t tag, ReadVarint());
    WireField field;
    field.number = tag >> 3;
    switch (tag & 7) {
      case 0: {
        GPTVQ_ASSIGN_OR_RETURN(field.value, ReadVarint());
        return field;
      }
      case 1: {
        GPTVQ_ASSIGN_OR_RETURN(field.value, ReadFixed(8));
        return field;
      }
      case 2: {
        GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t size, ReadVarint());
        if (size > bytes_.size() - position_) return Malformed();
        field.bytes = bytes_.substr(position_, size);
        position_ += size;
        return field;
      }
      case 5: {
        GPTVQ_ASSIGN_OR_RETURN(field.value, ReadFixed(4));
        return field;
      }
      default: return Malformed();
    }
  }

 private:
  absl::Status Malformed() const {
    return absl::InvalidArgumentError(absl::StrCat("not a SentencePiece model: malformed at byte ", position_));
  }

  absl::StatusOr<std::uint64_t> ReadVarint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ == bytes_.size()) return Malformed();
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return Malformed();
  }

  absl::StatusOr<std::uint64_t> ReadFixed(std::size_t size) {
    if (size > bytes_.size() - position_) return Malformed();
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[position_++])) << (8 * i);
    }
    return value;
  }

  const std::string_view bytes_;
  std::size_t position_ = 0;
};

enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Piece {
  std::string_view spelling;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

// The parts of ModelProto that matter, with the defaults of sentencepiece_model.proto. Borrows the file's bytes.
struct Model {
  std::vector<Piece> pieces;
  std::uint64_t model_type = 1;  // unigram
  bool falls_back_to_bytes = false;
  bool marks_spaces_as_suffix = false;
  std::string_view bos = "<s>";
  std::string_view eos = "</s>";
  std::string_view normalization_name;
  std::string_view normalization_map;
  bool adds_dummy_prefix = true;
  bool collapses_spaces = true;
  bool escapes_spaces = true;
};

constexpr std::uint64_t kBpeModelType = 2;

// Calls on_field for every field of the message.
template <typename OnField>
absl::Status ForEachField(std::string_view message, OnField on_field) {
  WireReader reader(message);
  for (;;) {
    GPTVQ_ASSIGN_OR_RETURN(const std::optional<WireField> field, reader.Next());
    if (!field.has_value()) return absl::OkStatus();
    GPTVQ_RETURN_IF_ERROR(on_field(*field));
  }
}

absl::Status ReadPiece(std::string_view message, Model& model) {
  Piece piece;
  GPTVQ_RETURN_IF_ERROR(ForEachField(message, [&](const WireField& field) {
    if (field.number == 1) piece.spelling = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    if (field.number == 3) piece.type = static_cast<PieceType>(field.value);
    return absl::OkStatus();
  }));
  const auto invalid = [&](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("piece ", model.pieces.size(), ": ", std::string(what)));
  };
  if (piece.spelling.empty()) return invalid("empty");
  if (piece.spelling.size() > kMaxTokenBytes) return invalid("longer than 4096 bytes");
  if (unicode::FindInvalidUtf8(piece.spelling) != piece.spelling.size()) return invalid("not UTF-8");
  if (!std::isfinite(piece.score)) return invalid("its score is not finite");
  if (piece.type == PieceType::kUnused) return absl::UnimplementedError("unused pieces are not supported");
  if (piece.type < PieceType::kNormal || piece.type > PieceType::kByte) return invalid("unknown type");
  model.pieces.push_back(piece);
  return absl::OkStatus();
}

absl::StatusOr<Model> ReadModel(std::string_view bytes) {
  Model model;
  const auto read_trainer = [&](const WireField& field) {
    if (field.number == 3) model.model_type = field.value;
    if (field.number == 24) model.marks_spaces_as_suffix = field.value != 0;
    if (field.number == 35) model.falls_back_to_bytes = field.value != 0;
    if (field.number == 46) model.bos = field.bytes;
    if (field.number == 47) model.eos = field.bytes;
    return absl::OkStatus();
  };
  const auto read_normalizer = [&](const WireField& field) {
    if (field.number == 1) model.normalization_name = field.bytes;
    if (field.number == 2) model.normalization_map = field.bytes;
    if (field.number == 3) model.adds_dummy_prefix = field.value != 0;
    if (field.number == 4) model.collapses_spaces = field.value != 0;
    if (field.number == 5) model.escapes_spaces = field.value != 0;
    return absl::OkStatus();
  };
  GPTVQ_RETURN_IF_ERROR(ForEachField(bytes, [&](const WireField& field) -> absl::Status {
    if (field.number == 1 && model.pieces.size() == kMaxVocabularyEntries) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxVocabularyEntries, " pieces"));
    }
    if (field.number == 1) return ReadPiece(field.bytes, model);
    if (field.number == 2) return ForEachField(field.bytes, read_trainer);
    if (field.number == 3) return ForEachField(field.bytes, read_normalizer);
    return absl::OkStatus();
  }));
  return model;
}

absl::Status CheckIsSupported(const Model& model) {
  if (model.pieces.empty()) return absl::InvalidArgumentError("not a SentencePiece model: it has no pieces");
  if (model.model_type != kBpeModelType) {
    return absl::UnimplementedError(absl::StrCat("model type ", model.model_type, " is not supported, only BPE"));
  }
  if (!model.normalization_map.empty()) {
    return absl::UnimplementedError(absl::StrCat("normalization '", std::string(model.normalization_name.substr(0, 80)),
                                                 "' is not supported, only 'identity'"));
  }
  if (model.marks_spaces_as_suffix) return absl::UnimplementedError("treat_whitespace_as_suffix is not supported");
  if (!model.escapes_spaces) return absl::UnimplementedError("escape_whitespaces=false is not supported");
  return absl::OkStatus();
}

// All pieces by spelling. Errors: InvalidArgument for a duplicate.
absl::StatusOr<std::unordered_map<std::string_view, TokenId>> IndexPieces(const Model& model) {
  std::unordered_map<std::string_view, TokenId> ids;
  ids.reserve(model.pieces.size());
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (!ids.emplace(model.pieces[id].spelling, static_cast<TokenId>(id)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("piece ", id, ": '", std::string(model.pieces[id].spelling.substr(0, 80)), "' is there twice"));
    }
  }
  return ids;
}

// Rank 0 for the highest score; equal scores, equal ranks.
std::vector<std::int32_t> RankByScore(const std::vector<Piece>& pieces) {
  std::vector<TokenId> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return pieces[a].score > pieces[b].score; });
  std::vector<std::int32_t> ranks(pieces.size());
  for (std::size_t i = 1; i < order.size(); ++i) {
    const bool is_lower = pieces[order[i]].score < pieces[order[i - 1]].score;
    ranks[order[i]] = ranks[order[i - 1]] + (is_lower ? 1 : 0);
  }
  return ranks;
}

// SentencePiece merges any two neighbours whose concatenation is a piece, the highest score first: that is one merge
// for every way to cut a piece into two pieces.
absl::StatusOr<std::vector<BpeMerge>> EnumerateMerges(const Model& model,
                                                      const std::unordered_map<std::string_view, TokenId>& ids) {
  const std::vector<std::int32_t> ranks = RankByScore(model.pieces);
  const auto find_normal = [&](std::string_view spelling) -> TokenId {
    const auto found = ids.find(spelling);
    return found != ids.end() && model.pieces[found->second].type == PieceType::kNormal ? found->second : -1;
  };
  std::vector<BpeMerge> merges;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type != PieceType::kNormal) continue;
    const std::string_view spelling = model.pieces[id].spelling;
    for (std::size_t cut = unicode::DecodeAt(spelling, 0).end; cut < spelling.size();
         cut = unicode::DecodeAt(spelling, cut).end) {
      const TokenId left = find_normal(spelling.substr(0, cut));
      const TokenId right = find_normal(spelling.substr(cut));
      if (left >= 0 && right >= 0) merges.push_back({left, right, static_cast<TokenId>(id), ranks[id]});
    }
    if (merges.size() > kMaxMerges) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxMerges, " ways to merge pieces"));
    }
  }
  return merges;
}

absl::StatusOr<BpeDefinition> DefineModel(const Model& model,
                                          const std::unordered_map<std::string_view, TokenId>& ids) {
  BpeDefinition definition;
  definition.alphabet = BpeDefinition::Alphabet::kCodePoints;
  definition.unknown_runs = BpeDefinition::UnknownRuns::kFused;
  definition.tokens.resize(model.pieces.size());
  if (model.falls_back_to_bytes) definition.byte_tokens.emplace().fill(-1);
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    const auto value = static_cast<TokenId>(id);
    if (piece.type == PieceType::kNormal) definition.tokens[id] = std::string(piece.spelling);
    if (piece.type == PieceType::kUnknown) {
      if (definition.unknown.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat("piece ", id, ": a second unknown"));
      }
      definition.unknown = value;
    }
    const auto byte = piece.type == PieceType::kByte ? ByteOfSpelling(piece.spelling) : std::nullopt;
    if (byte.has_value() && model.falls_back_to_bytes) (*definition.byte_tokens)[*byte] = value;
  }
  if (!definition.unknown.has_value()) return absl::InvalidArgumentError("no piece of type unknown");
  if (model.falls_back_to_bytes && std::ranges::count(*definition.byte_tokens, -1) > 0) {
    return absl::InvalidArgumentError("byte_fallback without a piece for every byte");
  }
  GPTVQ_ASSIGN_OR_RETURN(definition.merges, EnumerateMerges(model, ids));
  return definition;
}

TextNormalizer MakeNormalizer(const Model& model) {
  std::vector<NormalizerStep> steps;
  if (model.collapses_spaces) steps.push_back(CollapseSpacesStep{});
  if (model.adds_dummy_prefix) steps.push_back(PrependStep{std::string(kSpaceMarkUtf8)});
  steps.push_back(ReplaceStep{" ", std::string(kSpaceMarkUtf8)});
  // Trailing spaces go only now, and with them space marks that were in the text, as in the reference.
  if (model.collapses_spaces) steps.push_back(TrimEndStep{std::string(kSpaceMarkUtf8)});
  return TextNormalizer(std::move(steps));
}

AddedTokens MakeUserDefinedTokens(const Model& model) {
  std::vector<AddedToken> tokens;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type != PieceType::kUserDefined) continue;
    tokens.push_back({.pattern = std::string(model.pieces[id].spelling), .id = static_cast<TokenId>(id)});
  }
  return AddedTokens(std::move(tokens));
}

VocabularyEntry MakeEntry(const Piece& piece) {
  switch (piece.type) {
    case PieceType::kByte: {
      const auto byte = ByteOfSpelling(piece.spelling);
      const std::string text =
          byte.has_value() ? std::string(1, static_cast<char>(*byte)) : std::string(piece.spelling);
      return {.text = text, .kind = TokenKind::kByte};
    }
    case PieceType::kUnknown: return {.text = std::string(piece.spelling), .kind = TokenKind::kUnknown};
    case PieceType::kControl: return {.text = std::string(piece.spelling), .kind = TokenKind::kSpecial};
    case PieceType::kNormal:
    case PieceType::kUserDefined:
    case PieceType::kUnused: break;
  }
  return {.text = TextOfSpelling(piece.spelling), .kind = TokenKind::kNormal};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseSentencePieceModel(std::string_view bytes,
                                                                   const TokenizerConfig& config) {
  if (bytes.size() > kMaxSentencePieceModelBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(bytes.size(), " bytes, more than the limit of ", kMaxSentencePieceModelBytes));
  }
  GPTVQ_ASSIGN_OR_RETURN(const Model model, ReadModel(bytes));
  GPTVQ_RETURN_IF_ERROR(CheckIsSupported(model));
  GPTVQ_ASSIGN_OR_RETURN(const auto ids, IndexPieces(model));
  GPTVQ_ASSIGN_OR_RETURN(BpeDefinition definition, DefineModel(model, ids));

  BpeTokenizer::Parts parts;
  parts.normalizer = MakeNormalizer(model);
  parts.tokens_in_normalized_text = MakeUserDefinedTokens(model);
  parts.leading_space = model.adds_dummy_prefix ? BpeTokenizer::LeadingSpace::kDrop : BpeTokenizer::LeadingSpace::kKeep;
  for (const Piece& piece : model.pieces) parts.vocabulary.push_back(MakeEntry(piece));
  const auto find_token = [&](std::string_view text) -> std::optional<TokenId> {
    const auto found = ids.find(text);
    return found == ids.end() ? std::nullopt : std::optional<TokenId>(found->second);
  };
  parts.special_tokens.unknown = definition.unknown;
  parts.special_tokens.bos = find_token(model.bos);
  parts.special_tokens.eos = find_token(model.eos);
  if (parts.special_tokens.bos.has_value()) parts.special_tokens.document_prefix = {*parts.special_tokens.bos};
  GPTVQ_RETURN_IF_ERROR(ApplyTokenizerConfig(config, find_token, parts.special_tokens));
  parts.model = BpeModel(std::move(definition));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace gptvq
