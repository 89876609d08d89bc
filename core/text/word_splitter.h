#ifndef GPTVQ_CORE_TEXT_WORD_SPLITTER_H_
#define GPTVQ_CORE_TEXT_WORD_SPLITTER_H_

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace gptvq {

// Cuts text into words as one of the regular expressions that byte-level tokenizers are published with ("GPT-2",
// "Llama 3", "Qwen 2", ...). Each expression is a list of alternatives; each alternative is written here as a matcher
// over code points. Nothing interprets a regular expression, so no file can make matching backtrack: a word costs
// O(its length), amortised over the text. Immutable; instances live as long as the program.
class WordSplitter {
 public:
  // The end of what one alternative matches at text[begin], `begin` when it does not match there. Never an empty match.
  using Matcher = std::size_t (*)(std::string_view text, std::size_t begin);

  constexpr WordSplitter(std::string_view name, std::string_view regex, absl::Span<const Matcher> alternatives)
      : name_(name), regex_(regex), alternatives_(alternatives) {}

  // The expression that the ByteLevel pre-tokenizer carries without spelling it.
  static const WordSplitter& Gpt2();

  // The splitter for an expression as tokenizer.json spells it.
  // Errors: Unimplemented for an expression that is not one of the known ones; the message repeats it and lists those.
  static absl::StatusOr<const WordSplitter*> ForRegex(std::string_view regex);

  std::string_view name() const { return name_; }
  std::string_view regex() const { return regex_; }

  // The end of the word that begins at text[begin]: the first alternative that matches decides, as in Perl and
  // Oniguruma.
  // Preconditions: `text` is well-formed UTF-8, `begin` < size is the start of a code point.
  std::size_t WordEnd(std::string_view text, std::size_t begin) const;

 private:
  std::string_view name_;
  std::string_view regex_;
  absl::Span<const Matcher> alternatives_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_WORD_SPLITTER_H_
