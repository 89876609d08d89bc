#include "core/text/tokenizer_config.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

// A token is spelled as a string or as an added token, {"content": "<s>", ...}.
absl::StatusOr<std::optional<std::string>> ReadToken(const json& config, const char* key) {
  const auto entry = config.find(key);
  if (entry == config.end() || entry->is_null()) return std::nullopt;
  if (entry->is_string()) return entry->get<std::string>();
  if (entry->is_object()) {
    const auto content = entry->find("content");
    if (content != entry->end() && content->is_string()) return content->get<std::string>();
  }
  return absl::InvalidArgumentError(absl::StrCat(key, ": neither a string nor an object with a string 'content'"));
}

absl::StatusOr<std::optional<bool>> ReadBool(const json& config, const char* key) {
  const auto entry = config.find(key);
  if (entry == config.end() || entry->is_null()) return std::nullopt;
  if (!entry->is_boolean()) return absl::InvalidArgumentError(absl::StrCat(key, ": not true or false"));
  return entry->get<bool>();
}

absl::Status Apply(const char* role, const std::optional<std::string>& name, std::optional<bool> add,
                   absl::FunctionRef<std::optional<TokenId>(std::string_view)> find_token,
                   std::optional<TokenId>& token, std::vector<TokenId>& around) {
  if (name.has_value()) token = find_token(*name);
  if (!add.has_value()) return absl::OkStatus();
  if (!*add) {
    if (token.has_value()) std::erase(around, *token);
    return absl::OkStatus();
  }
  if (!token.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer_config.json: add_", role, "_token is true, but the vocabulary has no ",
                     name.has_value() ? absl::StrCat("token '", *name, "'") : absl::StrCat(role, "_token")));
  }
  if (around.empty()) around.push_back(*token);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json_text) {
  GPTVQ_ASSIGN_OR_RETURN(const json config, ParseStrictJson(json_text, {.max_bytes = 16 << 20}));
  if (!config.is_object()) return absl::InvalidArgumentError("not a JSON object");
  TokenizerConfig result;
  GPTVQ_ASSIGN_OR_RETURN(result.bos_token, ReadToken(config, "bos_token"));
  GPTVQ_ASSIGN_OR_RETURN(result.eos_token, ReadToken(config, "eos_token"));
  GPTVQ_ASSIGN_OR_RETURN(result.add_bos_token, ReadBool(config, "add_bos_token"));
  GPTVQ_ASSIGN_OR_RETURN(result.add_eos_token, ReadBool(config, "add_eos_token"));
  return result;
}

absl::Status ApplyTokenizerConfig(const TokenizerConfig& config,
                                  absl::FunctionRef<std::optional<TokenId>(std::string_view)> find_token,
                                  SpecialTokens& tokens_in_out) {
  GPTVQ_RETURN_IF_ERROR(Apply("bos", config.bos_token, config.add_bos_token, find_token, tokens_in_out.bos,
                              tokens_in_out.document_prefix));
  return Apply("eos", config.eos_token, config.add_eos_token, find_token, tokens_in_out.eos,
               tokens_in_out.document_suffix);
}

}  // namespace gptvq
