#ifndef GPTVQ_CORE_TEXT_SENTENCEPIECE_SPELLING_H_
#define GPTVQ_CORE_TEXT_SENTENCEPIECE_SPELLING_H_

#include <optional>
#include <string>
#include <string_view>

// How SentencePiece, and vocabularies converted from it, spell tokens: U+2581 for a space, <0x0A> for a byte.

namespace gptvq {

inline constexpr char32_t kSpaceMark = 0x2581;
inline constexpr std::string_view kSpaceMarkUtf8 = "\xE2\x96\x81";

// The spelling with spaces for space marks.
std::string TextOfSpelling(std::string_view spelling);

// The byte that <0xNN> (upper-case digits) stands for; nullopt for any other spelling.
std::optional<unsigned char> ByteOfSpelling(std::string_view spelling);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_SENTENCEPIECE_SPELLING_H_
