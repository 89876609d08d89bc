#include "core/text/pre_tokenizer.h"

#include "core/text/unicode.h"

namespace gptvq {
namespace {

using Sink = absl::FunctionRef<void(std::string_view)>;

void Split(const SplitStep& step, std::string_view piece, Sink on_piece) {
  for (std::size_t begin = 0; begin < piece.size();) {
    const std::size_t end = step.splitter->WordEnd(piece, begin);
    on_piece(piece.substr(begin, end - begin));
    begin = end;
  }
}

void Split(const DigitsStep& step, std::string_view piece, Sink on_piece) {
  const auto is_number = [&](std::size_t position, std::size_t& end) {
    const unicode::Character c = unicode::DecodeAt(piece, position);
    end = c.end;
    return (unicode::ClassesOf(c.code_point) & unicode::kNumber) != 0;
  };
  for (std::size_t begin = 0; begin < piece.size();) {
    std::size_t end = 0;
    const bool is_digits = is_number(begin, end);
    if (!is_digits || step.grouping == DigitsStep::Grouping::kRuns) {
      for (std::size_t next = 0; end < piece.size() && is_number(end, next) == is_digits; end = next) {
      }
    }
    on_piece(piece.substr(begin, end - begin));
    begin = end;
  }
}

void Split(const PrefixSpaceStep&, std::string_view piece, Sink on_piece) {
  if (piece.starts_with(' ')) {
    on_piece(piece);
  } else {
    on_piece(" " + std::string(piece));
  }
}

std::string ReplaceSpaces(const MetaspaceStep& step, std::string_view piece, PreTokenizer::Place place) {
  const bool begins_marked = piece.starts_with(' ') || piece.starts_with(step.replacement);
  const bool prepends = step.prepend == MetaspaceStep::Prepend::kAlways ||
                        (step.prepend == MetaspaceStep::Prepend::kFirst && place == PreTokenizer::Place::kStartOfText);
  std::string replaced;
  replaced.reserve(piece.size() + piece.size() / 4 + step.replacement.size());
  if (prepends && !begins_marked) replaced += step.replacement;
  for (const char c : piece) {
    if (c == ' ') {
      replaced += step.replacement;
    } else {
      replaced += c;
    }
  }
  return replaced;
}

void CutBeforeReplacement(std::string_view replacement, std::string_view piece, Sink on_piece) {
  for (std::size_t begin = 0; begin < piece.size();) {
    const std::size_t end = std::min(piece.find(replacement, begin + 1), piece.size());
    on_piece(piece.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace

void PreTokenizer::ForEachWord(std::string_view text, Place place, Sink on_word) const {
  if (!text.empty()) RunSteps(0, text, place, on_word);
}

void PreTokenizer::RunSteps(std::size_t first_step, std::string_view piece, Place place, Sink on_word) const {
  if (first_step == steps_.size()) {
    on_word(piece);
    return;
  }
  // The first piece of the start of the text is the start of the text, for the steps that follow.
  const auto run_rest = [&](std::string_view part) {
    RunSteps(first_step + 1, part, place, on_word);
    place = Place::kAfterToken;
  };
  std::visit(
      [&](const auto& step) {
        if constexpr (std::is_same_v<std::decay_t<decltype(step)>, MetaspaceStep>) {
          const std::string replaced = ReplaceSpaces(step, piece, place);
          if (step.cut == MetaspaceStep::Cut::kWhole) {
            run_rest(replaced);
          } else {
            CutBeforeReplacement(step.replacement, replaced, run_rest);
          }
        } else {
          Split(step, piece, run_rest);
        }
      },
      steps_[first_step]);
}

}  // namespace gptvq
