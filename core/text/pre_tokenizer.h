#ifndef GPTVQ_CORE_TEXT_PRE_TOKENIZER_H_
#define GPTVQ_CORE_TEXT_PRE_TOKENIZER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/text/word_splitter.h"

namespace gptvq {

// The steps of tokenizer.json's pre-tokenizers; each takes every piece of the step before it.

// Split (isolated) by a known expression, and ByteLevel with use_regex.
struct SplitStep {
  const WordSplitter* splitter = nullptr;
};
// Digits: every numeric character alone, or every run of them.
struct DigitsStep {
  enum class Grouping { kIndividual, kRuns };
  Grouping grouping = Grouping::kIndividual;
};
// ByteLevel with add_prefix_space: a space before every piece that does not begin with one.
struct PrefixSpaceStep {};
// Metaspace: spaces become `replacement`, which is put in front where it is missing, and begins a new piece.
struct MetaspaceStep {
  enum class Prepend { kNever, kFirst, kAlways };  // kFirst: only at the start of the text
  enum class Cut { kWhole, kBeforeReplacement };
  std::string replacement;  // one code point
  Prepend prepend = Prepend::kAlways;
  Cut cut = Cut::kBeforeReplacement;
};
using PreTokenizerStep = std::variant<SplitStep, DigitsStep, PrefixSpaceStep, MetaspaceStep>;

// Cuts text into the words that the model encodes one by one. Immutable.
class PreTokenizer {
 public:
  // Whether the text handed over is the start of the whole text or what follows an added token.
  enum class Place { kStartOfText, kAfterToken };

  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Calls on_word for every word, in order; a word borrows memory until on_word returns.
  // Precondition: `text` is well-formed UTF-8.
  void ForEachWord(std::string_view text, Place place, absl::FunctionRef<void(std::string_view)> on_word) const;

 private:
  void RunSteps(std::size_t first_step, std::string_view piece, Place place,
                absl::FunctionRef<void(std::string_view)> on_word) const;

  std::vector<PreTokenizerStep> steps_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_PRE_TOKENIZER_H_
