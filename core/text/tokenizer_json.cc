#include "core/text/tokenizer_json.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/json_node.h"
#include "core/text/sentencepiece_spelling.h"
#include "core/text/tokenizer_json_model.h"
#include "core/text/tokenizer_json_pipeline.h"

namespace gptvq {
namespace {

// One entry of "added_tokens".
struct AddedTokenEntry {
  AddedToken token;  // pattern as in the file
  enum class Target { kText, kNormalizedText } target = Target::kText;
  TokenKind kind = TokenKind::kNormal;
};

absl::StatusOr<AddedTokenEntry> ParseAddedToken(const JsonNode& node, const ModelSection& model) {
  AddedTokenEntry entry;
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view content, node.Child("content").String());
  entry.token.pattern = content;
  if (entry.token.pattern.empty()) return node.Child("content").Invalid("empty");
  if (entry.token.pattern.size() > kMaxAddedTokenBytes) {
    return node.Child("content").TooMany(entry.token.pattern.size(), kMaxAddedTokenBytes);
  }
  GPTVQ_ASSIGN_OR_RETURN(entry.token.id, node.Child("id").Id(model.id_limit));
  const auto in_model = model.ids.find(entry.token.pattern);
  if (in_model != model.ids.end() && in_model->second != entry.token.id) {
    return node.Invalid(absl::StrCat("'", entry.token.pattern, "' has id ", entry.token.id, " here and ",
                                     in_model->second, " in model.vocab"));
  }
  GPTVQ_ASSIGN_OR_RETURN(const bool swallows_before, node.Child("lstrip").BoolOr(false));
  if (swallows_before) entry.token.before = AddedToken::Whitespace::kSwallow;
  GPTVQ_ASSIGN_OR_RETURN(const bool swallows_after, node.Child("rstrip").BoolOr(false));
  if (swallows_after) entry.token.after = AddedToken::Whitespace::kSwallow;
  GPTVQ_ASSIGN_OR_RETURN(const bool is_word, node.Child("single_word").BoolOr(false));
  if (is_word) entry.token.match = AddedToken::Match::kWholeWord;
  GPTVQ_ASSIGN_OR_RETURN(const bool is_special, node.Child("special").BoolOr(false));
  if (is_special) entry.kind = TokenKind::kSpecial;
  GPTVQ_ASSIGN_OR_RETURN(const bool is_normalized, node.Child("normalized").BoolOr(!is_special));
  if (is_normalized) entry.target = AddedTokenEntry::Target::kNormalizedText;
  return entry;
}

absl::StatusOr<std::vector<AddedTokenEntry>> ParseAddedTokens(const std::vector<JsonNode>& nodes,
                                                              const ModelSection& model) {
  std::vector<AddedTokenEntry> entries;
  std::set<std::string> contents;
  std::set<TokenId> ids;
  for (const JsonNode& node : nodes) {
    GPTVQ_ASSIGN_OR_RETURN(AddedTokenEntry entry, ParseAddedToken(node, model));
    if (!contents.insert(entry.token.pattern).second) {
      return node.Invalid(absl::StrCat("'", entry.token.pattern, "' is there twice"));
    }
    const TokenId id = entry.token.id;
    const bool is_of_another = static_cast<std::size_t>(id) < model.spellings.size() && !model.spellings[id].empty() &&
                               model.spellings[id] != entry.token.pattern;
    if (is_of_another || !ids.insert(id).second) return node.Invalid(absl::StrCat("id ", id, " is another token's"));
    entries.push_back(std::move(entry));
  }
  return entries;
}

// The added tokens of one target, with their patterns normalized as the text will be.
absl::StatusOr<AddedTokens> SelectAddedTokens(const std::vector<AddedTokenEntry>& entries,
                                              AddedTokenEntry::Target target, const TextNormalizer& normalizer) {
  std::vector<AddedToken> tokens;
  std::set<std::string> patterns;
  for (const AddedTokenEntry& entry : entries) {
    if (entry.target != target) continue;
    AddedToken token = entry.token;
    if (target == AddedTokenEntry::Target::kNormalizedText) {
      GPTVQ_ASSIGN_OR_RETURN(token.pattern, normalizer.Normalize(token.pattern));
    }
    if (token.pattern.empty() || !patterns.insert(token.pattern).second) {
      return absl::InvalidArgumentError(absl::StrCat("added_tokens: the normalizer makes '", entry.token.pattern,
                                                     "' empty or the same as another added token"));
    }
    tokens.push_back(std::move(token));
  }
  return AddedTokens(std::move(tokens));
}

absl::Status AppendTemplate(const JsonNode& section, std::size_t id_limit, SpecialTokens& tokens) {
  GPTVQ_ASSIGN_OR_RETURN(const auto pieces, section.Child("single").Elements());
  if (pieces.size() > kMaxPipelineSteps) return section.TooMany(pieces.size(), kMaxPipelineSteps);
  bool text_is_passed = false;
  for (const JsonNode& piece : pieces) {
    const JsonNode special = piece.Child("SpecialToken");
    if (special.is_null()) {
      GPTVQ_ASSIGN_OR_RETURN(const std::string_view sequence, piece.Child("Sequence").Child("id").String());
      if (sequence != "A" || text_is_passed) return piece.Invalid("the single template holds the text A exactly once");
      text_is_passed = true;
      continue;
    }
    GPTVQ_ASSIGN_OR_RETURN(const std::string_view name_view, special.Child("id").String());
    const std::string name(name_view);
    GPTVQ_ASSIGN_OR_RETURN(const auto ids, section.Child("special_tokens").Child(name.c_str()).Child("ids").Elements());
    if (ids.empty() || ids.size() > kMaxPipelineSteps) {
      return piece.Invalid(absl::StrCat("special_tokens has no ids for '", name.substr(0, 80), "', or too many"));
    }
    for (const JsonNode& node : ids) {
      GPTVQ_ASSIGN_OR_RETURN(const TokenId id, node.Id(id_limit));
      (text_is_passed ? tokens.document_suffix : tokens.document_prefix).push_back(id);
    }
  }
  return text_is_passed ? absl::OkStatus() : section.Child("single").Invalid("does not hold the text A");
}

absl::Status ParsePostProcessor(const JsonNode& section, int depth, std::size_t id_limit, SpecialTokens& tokens) {
  if (section.is_null()) return absl::OkStatus();
  if (depth > kMaxPipelineDepth) return section.Invalid("a Sequence too deep inside Sequences");
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view type, section.Child("type").String());
  if (type == "ByteLevel") return absl::OkStatus();  // it moves offsets, which nobody asks for here
  if (type == "TemplateProcessing") {
    if (!tokens.document_prefix.empty() || !tokens.document_suffix.empty()) {
      return section.Unsupported("a second TemplateProcessing");
    }
    return AppendTemplate(section, id_limit, tokens);
  }
  if (type != "Sequence") return section.Unsupported(absl::StrCat("post-processor '", std::string(type), "'"));
  GPTVQ_ASSIGN_OR_RETURN(const auto children, section.Child("processors").Elements());
  if (children.size() > kMaxPipelineSteps) return section.TooMany(children.size(), kMaxPipelineSteps);
  for (const JsonNode& child : children) GPTVQ_RETURN_IF_ERROR(ParsePostProcessor(child, depth + 1, id_limit, tokens));
  return absl::OkStatus();
}

std::vector<VocabularyEntry> BuildVocabulary(const ModelSection& model, const std::vector<AddedTokenEntry>& added) {
  const BpeDefinition& definition = model.definition;
  std::vector<VocabularyEntry> vocabulary(model.spellings.size());
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& spelling = model.spellings[id];
    if (spelling.empty()) continue;
    vocabulary[id] = {.text = spelling, .kind = TokenKind::kNormal};
    if (definition.alphabet == BpeDefinition::Alphabet::kCodePoints) {
      vocabulary[id].text = TextOfSpelling(spelling);
    } else if (!definition.tokens[id].empty()) {
      vocabulary[id].text = definition.tokens[id];
    }
    const auto byte = ByteOfSpelling(spelling);
    if (definition.byte_tokens.has_value() && byte.has_value()) {
      vocabulary[id] = {.text = std::string(1, static_cast<char>(*byte)), .kind = TokenKind::kByte};
    }
  }
  for (const AddedTokenEntry& entry : added) {
    if (static_cast<std::size_t>(entry.token.id) >= vocabulary.size()) vocabulary.resize(entry.token.id + 1);
    vocabulary[entry.token.id] = {.text = entry.token.pattern, .kind = entry.kind};
  }
  if (definition.unknown.has_value()) vocabulary[*definition.unknown].kind = TokenKind::kUnknown;
  return vocabulary;
}

// Whether encoding puts a space in front of a text, which decoding has to take away again.
BpeTokenizer::LeadingSpace LeadingSpaceOf(const std::vector<NormalizerStep>& normalizer,
                                          const std::vector<PreTokenizerStep>& pre_tokenizer) {
  for (const NormalizerStep& step : normalizer) {
    if (std::holds_alternative<PrependStep>(step)) return BpeTokenizer::LeadingSpace::kDrop;
  }
  for (const PreTokenizerStep& step : pre_tokenizer) {
    const auto* metaspace = std::get_if<MetaspaceStep>(&step);
    const bool prepends = metaspace != nullptr && metaspace->prepend != MetaspaceStep::Prepend::kNever;
    if (prepends || std::holds_alternative<PrefixSpaceStep>(step)) return BpeTokenizer::LeadingSpace::kDrop;
  }
  return BpeTokenizer::LeadingSpace::kKeep;
}

absl::Status FindSpecialTokens(const JsonNode& post_processor, const ModelSection& model,
                               const std::vector<AddedTokenEntry>& added, const TokenizerConfig& config,
                               std::size_t vocabulary_size, SpecialTokens& tokens_out) {
  tokens_out.unknown = model.definition.unknown;
  GPTVQ_RETURN_IF_ERROR(ParsePostProcessor(post_processor, 1, vocabulary_size, tokens_out));
  if (tokens_out.document_prefix.size() == 1) tokens_out.bos = tokens_out.document_prefix[0];
  const auto find_token = [&](std::string_view text) -> std::optional<TokenId> {
    for (const AddedTokenEntry& entry : added) {
      if (entry.token.pattern == text) return entry.token.id;
    }
    const auto found = model.ids.find(std::string(text));
    return found == model.ids.end() ? std::nullopt : std::optional<TokenId>(found->second);
  };
  return ApplyTokenizerConfig(config, find_token, tokens_out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizerJson(std::string_view json_text,
                                                              const TokenizerConfig& config) {
  GPTVQ_ASSIGN_OR_RETURN(const nlohmann::json file, ParseStrictJson(json_text, {.max_bytes = kMaxTokenizerJsonBytes}));
  const JsonNode root(file, "");
  if (!file.is_object()) return absl::InvalidArgumentError("not a JSON object");
  GPTVQ_ASSIGN_OR_RETURN(const std::string_view version, root.Child("version").StringOrEmpty());
  if (version != "1.0" && !version.empty()) {
    return root.Child("version").Unsupported(absl::StrCat("'", std::string(version), "'"));
  }
  GPTVQ_ASSIGN_OR_RETURN(const auto added_nodes, root.Child("added_tokens").Elements());
  if (added_nodes.size() > kMaxAddedTokens) {
    return root.Child("added_tokens").TooMany(added_nodes.size(), kMaxAddedTokens);
  }

  GPTVQ_ASSIGN_OR_RETURN(const auto normalizer_steps, ParseNormalizer(root.Child("normalizer")));
  GPTVQ_ASSIGN_OR_RETURN(PreTokenizerSection pre_tokenizer, ParsePreTokenizer(root.Child("pre_tokenizer")));
  GPTVQ_ASSIGN_OR_RETURN(ModelSection model,
                         ParseModel(root.Child("model"), pre_tokenizer.alphabet, added_nodes.size()));
  GPTVQ_ASSIGN_OR_RETURN(const auto added, ParseAddedTokens(added_nodes, model));

  BpeTokenizer::Parts parts;
  parts.normalizer = TextNormalizer(normalizer_steps);
  GPTVQ_ASSIGN_OR_RETURN(parts.tokens_in_text,
                         SelectAddedTokens(added, AddedTokenEntry::Target::kText, parts.normalizer));
  GPTVQ_ASSIGN_OR_RETURN(parts.tokens_in_normalized_text,
                         SelectAddedTokens(added, AddedTokenEntry::Target::kNormalizedText, parts.normalizer));
  parts.leading_space = LeadingSpaceOf(normalizer_steps, pre_tokenizer.steps);
  parts.pre_tokenizer = PreTokenizer(std::move(pre_tokenizer.steps));
  parts.vocabulary = BuildVocabulary(model, added);
  GPTVQ_RETURN_IF_ERROR(FindSpecialTokens(root.Child("post_processor"), model, added, config, parts.vocabulary.size(),
                                          parts.special_tokens));
  parts.model = BpeModel(std::move(model.definition));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace gptvq
