#ifndef GPTVQ_CORE_BACKEND_HESSIAN_PANELS_H_
#define GPTVQ_CORE_BACKEND_HESSIAN_PANELS_H_

#include <cstdint>
#include <vector>

#include "core/base/index_range.h"

namespace gptvq {

// How the upper triangle of a Hessian of C columns is cut into panels, each the columns [begin, end) from row 0 down to the
// diagonal. A panel is summed up as a whole, by one product for what lies above its diagonal square and one for the square, so
// that its bytes do not depend on which other panels are summed up beside it. Pure.

// All panels, in order: at most a sixteenth of the columns wide, but at least 256; with their squares 6 % more operations than
// the triangle has.
std::vector<IndexRange> HessianPanels(std::int64_t cols);

// The numbers, ascending, of those that fall to `rank` of `rank_count`: every panel to one rank, a long one together with a
// short one, so that shares are even where panels are many. Precondition: 0 <= rank < rank_count.
std::vector<std::int64_t> HessianPanelsOf(int rank, int rank_count, std::int64_t panel_count);

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_HESSIAN_PANELS_H_
