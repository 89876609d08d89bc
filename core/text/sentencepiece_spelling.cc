#include "core/text/sentencepiece_spelling.h"

namespace gptvq {

std::string TextOfSpelling(std::string_view spelling) {
  std::string text;
  for (;;) {
    const std::size_t mark = spelling.find(kSpaceMarkUtf8);
    text += spelling.substr(0, mark);
    if (mark == std::string_view::npos) return text;
    text += ' ';
    spelling.remove_prefix(mark + kSpaceMarkUtf8.size());
  }
}

std::optional<unsigned char> ByteOfSpelling(std::string_view spelling) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>') return std::nullopt;
  const std::size_t high = kDigits.find(spelling[3]);
  const std::size_t low = kDigits.find(spelling[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

}  // namespace gptvq
