#ifndef GPTVQ_CORE_TEXT_TOKENIZER_CONFIG_H_
#define GPTVQ_CORE_TEXT_TOKENIZER_CONFIG_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// What tokenizer_config.json or special_tokens_map.json says about the tokens around a document; absent where the file
// is silent (or says null).
struct TokenizerConfig {
  std::optional<std::string> bos_token = std::nullopt;
  std::optional<std::string> eos_token = std::nullopt;
  std::optional<bool> add_bos_token = std::nullopt;
  std::optional<bool> add_eos_token = std::nullopt;
};

// Errors: InvalidArgument for JSON that is malformed, longer than 16 MiB, or has one of the keys with a value of
// another type.
absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json_text);

// Lets `config` decide over what a tokenizer file says: names BOS and EOS, puts them around a document or takes them
// away. `find_token` gives the id of a token by its text.
// Errors: InvalidArgument when the config asks for a BOS or EOS that the vocabulary does not have.
absl::Status ApplyTokenizerConfig(const TokenizerConfig& config,
                                  absl::FunctionRef<std::optional<TokenId>(std::string_view)> find_token,
                                  SpecialTokens& tokens_in_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TOKENIZER_CONFIG_H_
