#ifndef GPTVQ_CORE_JSON_STRICT_JSON_H_
#define GPTVQ_CORE_JSON_STRICT_JSON_H_

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace gptvq {

// Parsing of JSON that somebody else wrote: model configurations, tokenizers, safetensors headers, manifests.
// Pure. To be included from .cc files only: the header of the JSON library is costly to compile.

struct JsonLimits {
  std::size_t max_bytes = 1 << 20;      // refuse longer texts before reading them
  int max_depth = 32;                   // nesting of objects and arrays
  std::size_t max_values = 20'000'000;  // values of any kind, keys included
};

// The value of `text`, which must be one JSON value (RFC 8259) in UTF-8, without comments, trailing commas or a
// duplicate key in any object. A UTF-8 byte-order mark at the start is skipped. Parsing is iterative: no input makes
// the stack grow. Numbers that a double cannot hold finitely are refused.
// Errors: InvalidArgument naming line and column, the key, or the limit that is passed. Never ResourceExhausted, which
// callers may retry: no other time and no other machine would read such a text.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace gptvq

#endif  // GPTVQ_CORE_JSON_STRICT_JSON_H_
