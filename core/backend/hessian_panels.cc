#include "core/backend/hessian_panels.h"

#include <algorithm>

namespace gptvq {

std::vector<IndexRange> HessianPanels(std::int64_t cols) {
  constexpr std::int64_t kPanels = 16;
  constexpr std::int64_t kStep = 256;  // whole tiles of a GPU's product
  const std::int64_t steps = (cols + kPanels * kStep - 1) / (kPanels * kStep);
  const std::int64_t width = std::max<std::int64_t>(steps, 1) * kStep;
  std::vector<IndexRange> panels;
  for (std::int64_t begin = 0; begin < cols; begin += width) panels.push_back({begin, std::min(begin + width, cols)});
  return panels;
}

// Dealt out forwards, then backwards, from the longest on: of 2 n panels each rank gets lengths that add up to the same.
std::vector<std::int64_t> HessianPanelsOf(int rank, int rank_count, std::int64_t panel_count) {
  std::vector<std::int64_t> own;
  for (std::int64_t panel = 0; panel < panel_count; ++panel) {
    const std::int64_t from_longest = (panel_count - 1 - panel) % (2 * rank_count);
    const std::int64_t owner = from_longest < rank_count ? from_longest : 2 * rank_count - 1 - from_longest;
    if (owner == rank) own.push_back(panel);
  }
  return own;
}

}  // namespace gptvq
