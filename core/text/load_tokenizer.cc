#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/text/sentencepiece_model.h"
#include "core/text/tokenizer.h"
#include "core/text/tokenizer_config.h"
#include "core/text/tokenizer_json.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxConfigBytes = 16 << 20;

// The whole file; nullopt when the directory has none of that name.
absl::StatusOr<std::optional<std::string>> ReadIfPresent(const ReadableDirectory& directory, const char* file_name,
                                                         std::size_t limit_bytes) {
  const auto file = directory.Open(file_name);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  if (!file.ok()) return file.status();
  return ReadWholeFile(**file, limit_bytes);
}

absl::StatusOr<TokenizerConfig> ReadConfig(const ReadableDirectory& directory, const char* file_name) {
  GPTVQ_ASSIGN_OR_RETURN(const auto text, ReadIfPresent(directory, file_name, kMaxConfigBytes));
  if (!text.has_value()) return TokenizerConfig();
  auto config = ParseTokenizerConfig(*text);
  if (!config.ok()) return WithContext(config.status(), file_name);
  return config;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> InFile(absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer,
                                                  const char* file_name) {
  if (!tokenizer.ok()) return WithContext(tokenizer.status(), file_name);
  return tokenizer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(TokenizerConfig config, ReadConfig(directory, "tokenizer_config.json"));
  GPTVQ_ASSIGN_OR_RETURN(const TokenizerConfig map, ReadConfig(directory, "special_tokens_map.json"));
  if (!config.bos_token.has_value()) config.bos_token = map.bos_token;
  if (!config.eos_token.has_value()) config.eos_token = map.eos_token;

  GPTVQ_ASSIGN_OR_RETURN(const auto json, ReadIfPresent(directory, "tokenizer.json", kMaxTokenizerJsonBytes));
  if (json.has_value()) return InFile(ParseTokenizerJson(*json, config), "tokenizer.json");
  GPTVQ_ASSIGN_OR_RETURN(const auto model, ReadIfPresent(directory, "tokenizer.model", kMaxSentencePieceModelBytes));
  if (model.has_value()) return InFile(ParseSentencePieceModel(*model, config), "tokenizer.model");
  return absl::NotFoundError(absl::StrCat(
      std::string(directory.name()), ": neither tokenizer.json nor tokenizer.model; copy one from the source model"));
}

}  // namespace gptvq
