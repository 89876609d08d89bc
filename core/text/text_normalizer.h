#ifndef GPTVQ_CORE_TEXT_TEXT_NORMALIZER_H_
#define GPTVQ_CORE_TEXT_TEXT_NORMALIZER_H_

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace gptvq {

// One step each: what tokenizer.json calls NFC, Prepend and Replace; the last two make up what tokenizer.model calls
// remove_extra_whitespaces.
struct NfcStep {};
struct PrependStep {
  std::string prefix;  // put before a text that is not empty
};
struct ReplaceStep {
  std::string pattern;  // literal, not empty
  std::string content;
};
struct CollapseSpacesStep {};  // U+0020 only: none at the start, otherwise one at a time
struct TrimEndStep {
  std::string suffix;  // taken away from the end as often as it is there; not empty
};
using NormalizerStep = std::variant<NfcStep, PrependStep, ReplaceStep, CollapseSpacesStep, TrimEndStep>;

// The text a tokenizer sees instead of the one it was given. Immutable.
class TextNormalizer {
 public:
  explicit TextNormalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  bool is_identity() const { return steps_.empty(); }

  // Precondition: `text` is well-formed UTF-8 of less than 1 GiB.
  // Errors: InvalidArgument when the result passes kMaxGrowth times the text (no published tokenizer passes 3).
  absl::StatusOr<std::string> Normalize(std::string_view text) const;

  static constexpr std::size_t kMaxGrowth = 4;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_TEXT_NORMALIZER_H_
