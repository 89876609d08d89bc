#include "platform/backoff.h"

#include <algorithm>

namespace gptvq {

std::chrono::milliseconds Backoff::Next() {
  ceiling_ = ceiling_.count() == 0 ? options_.first : std::min(2 * ceiling_, options_.longest);
  const std::chrono::milliseconds fixed = ceiling_ / 2;
  std::uniform_int_distribution<std::int64_t> random_part(0, (ceiling_ - fixed).count());
  return fixed + std::chrono::milliseconds(random_part(random_));
}

}  // namespace gptvq
