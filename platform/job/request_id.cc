#include "platform/job/request_id.h"

#include <cstddef>

namespace gptvq {

bool IsRequestId(std::string_view text) {
  constexpr std::string_view kPattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kPattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (kPattern[i] == 'x' ? !is_hex : text[i] != '-') return false;
  }
  return true;
}

}  // namespace gptvq
