#include "core/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <cstdint>
#include <limits>

#include "core/base/check.h"

namespace gptvq::unicode {
namespace {

// Bytes of the well-formed sequence that starts at text[begin]; 0 when there is none (RFC 3629, section 4).
std::size_t SequenceBytes(std::string_view text, std::size_t begin) {
  const auto byte = [&](std::size_t i) {
    return begin + i < text.size() ? static_cast<unsigned char>(text[begin + i]) : 0u;
  };
  const auto is_tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return is_tail(1) ? 2 : 0;
  if (first < 0xf0) {
    if (!is_tail(1) || !is_tail(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
    if (first == 0xed && byte(1) >= 0xa0) return 0;  // surrogate
    return 3;
  }
  if (first > 0xf4 || !is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;   // overlong
  if (first == 0xf4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
  return 4;
}

}  // namespace

namespace internal {

Character DecodeMultibyte(std::string_view text, std::size_t begin) {
  const auto tail = [&](std::size_t i) { return static_cast<char32_t>(text[begin + i]) & 0x3f; };
  const auto first = static_cast<unsigned char>(text[begin]);
  if (first < 0xe0) return {static_cast<char32_t>((first & 0x1f) << 6 | tail(1)), begin + 2};
  if (first < 0xf0) return {static_cast<char32_t>((first & 0x0f) << 12 | tail(1) << 6 | tail(2)), begin + 3};
  return {static_cast<char32_t>((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3)), begin + 4};
}

unsigned ClassesOfNonAscii(char32_t code_point) {
  if (u_isUWhiteSpace(static_cast<UChar32>(code_point))) return kSpace;
  switch (u_charType(static_cast<UChar32>(code_point))) {
    case U_UPPERCASE_LETTER:
    case U_TITLECASE_LETTER: return kUpper;
    case U_LOWERCASE_LETTER: return kLower;
    case U_MODIFIER_LETTER:
    case U_OTHER_LETTER: return kOtherLetter;
    case U_NON_SPACING_MARK:
    case U_ENCLOSING_MARK:
    case U_COMBINING_SPACING_MARK: return kMark;
    case U_DECIMAL_DIGIT_NUMBER:
    case U_LETTER_NUMBER:
    case U_OTHER_NUMBER: return kNumber;
    default: return 0;
  }
}

}  // namespace internal

bool IsWordCharacter(char32_t code_point) {
  const auto c = static_cast<UChar32>(code_point);
  if (u_isUAlphabetic(c) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL)) return true;
  return (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

std::size_t FindInvalidUtf8(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t bytes = SequenceBytes(text, position);
    if (bytes == 0) return position;
    position += bytes;
  }
  return position;
}

void AppendUtf8(char32_t c, std::string& out) {
  const auto tail = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xc0 | c >> 6), tail(c)};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xe0 | c >> 12), tail(c >> 6), tail(c)};
  } else {
    out += {static_cast<char>(0xf0 | c >> 18), tail(c >> 12), tail(c >> 6), tail(c)};
  }
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (;;) {
    const std::size_t good = FindInvalidUtf8(text);
    valid += text.substr(0, good);
    if (good == text.size()) return valid;
    AppendUtf8(0xfffd, valid);
    text.remove_prefix(good + 1);
  }
}

std::string NormalizeNfc(std::string_view text) {
  GPTVQ_CHECK(text.size() <= std::numeric_limits<std::int32_t>::max());  // ICU counts in int32
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  GPTVQ_CHECK(U_SUCCESS(error));  // fails only where ICU's own data is missing
  std::string normalized;
  normalized.reserve(text.size());
  icu::StringByteSink<std::string> sink(&normalized);
  nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, error);
  GPTVQ_CHECK(U_SUCCESS(error));
  return normalized;
}

}  // namespace gptvq::unicode
