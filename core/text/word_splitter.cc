#include "core/text/word_splitter.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

using unicode::ClassesOf;
using unicode::DecodeAt;
using unicode::kLetter;
using unicode::kLower;
using unicode::kMark;
using unicode::kNewline;
using unicode::kNumber;
using unicode::kOtherLetter;
using unicode::kSpace;
using unicode::kUpper;

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}]
constexpr unsigned kUpperLike = kUpper | kOtherLetter | kMark;
constexpr unsigned kLowerLike = kLower | kOtherLetter | kMark;

struct ClassifiedCharacter {
  unsigned classes = 0;
  std::size_t end = 0;
};

ClassifiedCharacter At(std::string_view text, std::size_t begin) {
  const unicode::Character c = DecodeAt(text, begin);
  return {ClassesOf(c.code_point), c.end};
}

// The end of the run of characters in (SkipWhile) or outside (SkipUntil) `classes`.
std::size_t SkipWhile(std::string_view text, std::size_t position, unsigned classes) {
  while (position < text.size()) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & classes) == 0) break;
    position = c.end;
  }
  return position;
}

std::size_t SkipUntil(std::string_view text, std::size_t position, unsigned classes) {
  while (position < text.size()) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & classes) != 0) break;
    position = c.end;
  }
  return position;
}

enum class Case { kSensitive, kIgnored };

// 's|'t|'re|'ve|'m|'ll|'d  and  (?i:'s|'t|'re|'ve|'m|'ll|'d)
template <Case kCase>
std::size_t Contraction(std::string_view text, std::size_t begin) {
  if (text[begin] != '\'') return begin;
  const auto letter = [&](std::size_t offset) {
    if (begin + offset >= text.size()) return '\0';
    const char c = text[begin + offset];
    return kCase == Case::kIgnored && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return begin + 2;
    case 'r':
    case 'v': return letter(2) == 'e' ? begin + 3 : begin;
    case 'l': return letter(2) == 'l' ? begin + 3 : begin;
    case '\xc5':  // U+017F, the long s, folds to s; no other non-ASCII character folds to one of these letters
      return kCase == Case::kIgnored && letter(2) == '\xbf' ? begin + 3 : begin;
    default: return begin;
  }
}

//  ?\p{L}+  and   ?\p{N}+
template <unsigned kClasses>
std::size_t RunAfterSpace(std::string_view text, std::size_t begin) {
  const std::size_t run = text[begin] == ' ' ? begin + 1 : begin;
  const std::size_t end = SkipWhile(text, run, kClasses);
  return end > run ? end : begin;
}

// [^\r\n\p{L}\p{N}]?\p{L}+
std::size_t LettersAfterAny(std::string_view text, std::size_t begin) {
  const ClassifiedCharacter first = At(text, begin);
  const bool has_prefix = (first.classes & (kNewline | kLetter | kNumber)) == 0;
  const std::size_t run = has_prefix ? first.end : begin;
  const std::size_t end = SkipWhile(text, run, kLetter);
  return end > run ? end : begin;
}

// \p{N}{1,kMax}
template <int kMax>
std::size_t Digits(std::string_view text, std::size_t begin) {
  std::size_t position = begin;
  for (int count = 0; count < kMax && position < text.size(); ++count) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & kNumber) == 0) break;
    position = c.end;
  }
  return position;
}

//  ?[^\s\p{L}\p{N}]+
std::size_t SymbolsAfterSpace(std::string_view text, std::size_t begin) {
  const std::size_t run = text[begin] == ' ' ? begin + 1 : begin;
  const std::size_t end = SkipUntil(text, run, kSpace | kLetter | kNumber);
  return end > run ? end : begin;
}

//  ?[^\s\p{L}\p{N}]+[\r\n]*  and   ?[^\s\p{L}\p{N}]+[\r\n/]*
enum class Slash { kApart, kJoins };
template <Slash kSlash>
std::size_t SymbolsAndNewlines(std::string_view text, std::size_t begin) {
  std::size_t end = SymbolsAfterSpace(text, begin);
  if (end == begin) return begin;
  while (end < text.size() &&
         (text[end] == '\r' || text[end] == '\n' || (kSlash == Slash::kJoins && text[end] == '/'))) {
    ++end;
  }
  return end;
}

// \s*[\r\n]+ : to the last newline of the run of white space.
std::size_t SpaceToLastNewline(std::string_view text, std::size_t begin) {
  std::size_t last_newline_end = begin;
  for (std::size_t position = begin; position < text.size();) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & kSpace) == 0) break;
    position = c.end;
    if ((c.classes & kNewline) != 0) last_newline_end = position;
  }
  return last_newline_end;
}

// \s+(?!\S) : white space to the end of the text, otherwise all but its last character.
std::size_t SpaceBeforeLast(std::string_view text, std::size_t begin) {
  std::size_t last = begin;
  std::size_t position = begin;
  while (position < text.size()) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & kSpace) == 0) return last;
    last = position;
    position = c.end;
  }
  return position;
}

// \s+
std::size_t Space(std::string_view text, std::size_t begin) { return SkipWhile(text, begin, kSpace); }

// U*L+ with U = kUpperLike, L = kLowerLike, which overlap: where no L follows the longest run of U, the match ends
// after the last character of that run that is in both.
std::size_t UppersThenLower(std::string_view text, std::size_t begin) {
  std::size_t last_in_both_end = begin;
  std::size_t position = begin;
  while (position < text.size()) {
    const ClassifiedCharacter c = At(text, position);
    if ((c.classes & kUpperLike) == 0) break;
    position = c.end;
    if ((c.classes & kLowerLike) != 0) last_in_both_end = position;
  }
  const std::size_t end = SkipWhile(text, position, kLowerLike);
  return end > position ? end : last_in_both_end;
}

// U+L*
std::size_t UpperThenLowers(std::string_view text, std::size_t begin) {
  const std::size_t end = SkipWhile(text, begin, kUpperLike);
  return end > begin ? SkipWhile(text, end, kLowerLike) : begin;
}

// [^\r\n\p{L}\p{N}]?W  or, with kSuffix,  [^\r\n\p{L}\p{N}]?W(?i:'s|...)?  for W = kWord.
enum class Suffix { kNone, kContraction };
template <WordSplitter::Matcher kWord, Suffix kSuffix>
std::size_t CasedWordAfterAny(std::string_view text, std::size_t begin) {
  const ClassifiedCharacter first = At(text, begin);
  std::size_t end = begin;
  if ((first.classes & (kNewline | kLetter | kNumber)) == 0 && first.end < text.size()) {
    const std::size_t word_end = kWord(text, first.end);
    if (word_end > first.end) end = word_end;
  }
  if (end == begin) end = kWord(text, begin);
  if (kSuffix == Suffix::kNone || end == begin || end == text.size()) return end;
  return Contraction<Case::kIgnored>(text, end);
}

constexpr WordSplitter::Matcher kGpt2Alternatives[] = {Contraction<Case::kSensitive>,
                                                       RunAfterSpace<kLetter>,
                                                       RunAfterSpace<kNumber>,
                                                       SymbolsAfterSpace,
                                                       SpaceBeforeLast,
                                                       Space};
constexpr WordSplitter::Matcher kLlama3Alternatives[] = {
    Contraction<Case::kIgnored>, LettersAfterAny, Digits<3>, SymbolsAndNewlines<Slash::kApart>,
    SpaceToLastNewline,          SpaceBeforeLast, Space};
constexpr WordSplitter::Matcher kQwen2Alternatives[] = {
    Contraction<Case::kIgnored>, LettersAfterAny, Digits<1>, SymbolsAndNewlines<Slash::kApart>,
    SpaceToLastNewline,          SpaceBeforeLast, Space};
constexpr WordSplitter::Matcher kTekkenAlternatives[] = {CasedWordAfterAny<UppersThenLower, Suffix::kNone>,
                                                         CasedWordAfterAny<UpperThenLowers, Suffix::kNone>,
                                                         Digits<1>,
                                                         SymbolsAndNewlines<Slash::kJoins>,
                                                         SpaceToLastNewline,
                                                         SpaceBeforeLast,
                                                         Space};
constexpr WordSplitter::Matcher kO200kAlternatives[] = {CasedWordAfterAny<UppersThenLower, Suffix::kContraction>,
                                                        CasedWordAfterAny<UpperThenLowers, Suffix::kContraction>,
                                                        Digits<3>,
                                                        SymbolsAndNewlines<Slash::kJoins>,
                                                        SpaceToLastNewline,
                                                        SpaceBeforeLast,
                                                        Space};

// Every expression character for character as the published tokenizer.json files have it.
constexpr WordSplitter kSplitters[] = {
    {"GPT-2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", kGpt2Alternatives},
    {"Llama 3",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
     R"(\s+(?!\S)|\s+)",
     kLlama3Alternatives},
    {"Qwen 2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
     R"(\s+(?!\S)|\s+)",
     kQwen2Alternatives},
    {"Tekken (Mistral Nemo)",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
     R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kTekkenAlternatives},
    {"o200k",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kO200kAlternatives},
};

}  // namespace

const WordSplitter& WordSplitter::Gpt2() { return kSplitters[0]; }

absl::StatusOr<const WordSplitter*> WordSplitter::ForRegex(std::string_view regex) {
  std::string known;
  for (const WordSplitter& splitter : kSplitters) {
    if (splitter.regex_ == regex) return &splitter;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(splitter.name_));
  }
  constexpr std::size_t kQuotedBytes = 400;
  return absl::UnimplementedError(absl::StrCat(
      "unknown regular expression '", std::string(regex.substr(0, kQuotedBytes)), "'; known are those of ", known));
}

std::size_t WordSplitter::WordEnd(std::string_view text, std::size_t begin) const {
  for (const Matcher match : alternatives_) {
    const std::size_t end = match(text, begin);
    if (end > begin) return end;
  }
  GPTVQ_CHECK(false);  // together the alternatives of every expression above match any character
}

}  // namespace gptvq
