#ifndef GPTVQ_CORE_TEXT_UNICODE_H_
#define GPTVQ_CORE_TEXT_UNICODE_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

// UTF-8, and the few properties of code points that tokenizers ask for. Pure functions. Properties come from ICU; a
// code point newer than ICU's Unicode version (15.0 with ICU 72) counts as unassigned, that is as none of the classes.

namespace gptvq::unicode {

// Classes of a code point, as bits. The general categories in brackets; \s and the newlines overlap with no other
// class.
enum Class : unsigned {
  kUpper = 1u << 0,        // [Lu Lt]
  kLower = 1u << 1,        // [Ll]
  kOtherLetter = 1u << 2,  // [Lm Lo]
  kMark = 1u << 3,         // [Mn Mc Me]
  kNumber = 1u << 4,       // [Nd Nl No]
  kSpace = 1u << 5,        // White_Space
  kNewline = 1u << 6,      // U+000A and U+000D, besides kSpace
  kLetter = kUpper | kLower | kOtherLetter,
};

// One code point of a text.
struct Character {
  char32_t code_point = 0;
  std::size_t end = 0;  // offset of the byte after it
};

namespace internal {
Character DecodeMultibyte(std::string_view text, std::size_t begin);
unsigned ClassesOfNonAscii(char32_t code_point);

inline constexpr std::array<unsigned char, 128> kAsciiClasses = [] {
  std::array<unsigned char, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    if (c >= 'A' && c <= 'Z') classes[c] = kUpper;
    if (c >= 'a' && c <= 'z') classes[c] = kLower;
    if (c >= '0' && c <= '9') classes[c] = kNumber;
    if (c == ' ' || (c >= '\t' && c <= '\r')) classes[c] = kSpace;
    if (c == '\n' || c == '\r') classes[c] |= kNewline;
  }
  return classes;
}();
}  // namespace internal

// The code point at text[begin]. Preconditions: `text` is well-formed, `begin` < size is the start of a code point.
inline Character DecodeAt(std::string_view text, std::size_t begin) {
  const auto first = static_cast<unsigned char>(text[begin]);
  if (first < 0x80) return {first, begin + 1};
  return internal::DecodeMultibyte(text, begin);
}

// The Class bits of a code point.
inline unsigned ClassesOf(char32_t code_point) {
  return code_point < 0x80 ? internal::kAsciiClasses[code_point] : internal::ClassesOfNonAscii(code_point);
}

// \w of Unicode regular expressions (UTS 18, annex C): alphabetic, mark, decimal digit, connector, join control.
bool IsWordCharacter(char32_t code_point);

// Offset of the first byte that does not belong to well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing
// above U+10FFFF); text.size() when there is none.
std::size_t FindInvalidUtf8(std::string_view text);

void AppendUtf8(char32_t code_point, std::string& out);

// The text with every byte that FindInvalidUtf8 would report replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// Normalization form C. Preconditions: `text` is well-formed and shorter than 2 GiB.
std::string NormalizeNfc(std::string_view text);

}  // namespace gptvq::unicode

#endif  // GPTVQ_CORE_TEXT_UNICODE_H_
