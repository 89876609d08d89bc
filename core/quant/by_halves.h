#ifndef GPTVQ_CORE_QUANT_BY_HALVES_H_
#define GPTVQ_CORE_QUANT_BY_HALVES_H_

#include <bit>
#include <cstdint>

#include "absl/status/status.h"
#include "core/base/index_range.h"
#include "core/base/status_macros.h"

namespace gptvq {

// Goes through a range of blocks from left to right where every block has to hear of the blocks before it, and tells it in
// few large pieces: a range is its left part (the largest power of two below its count), then the rest;
// propagate(left, right) is called in between and propagate(right, left) at the end. Thus
//  - visit(i) is called once for every i, in order, and everything to the left of i has reached it by then;
//  - in the end every block has reached every other one exactly once;
//  - a block hears of n - 1 others in log2(n) pieces, not in n - 1.
// So matrix products that propagate what blocks of columns changed have long inner axes, and read and write what they add
// to log2(n) times. An error of either function ends it. Pure.
template <typename Visit, typename Propagate>
absl::Status VisitByHalves(IndexRange range, const Visit& visit, const Propagate& propagate) {
  if (range.count() <= 0) return absl::OkStatus();
  if (range.count() == 1) return visit(range.begin);
  const auto count = static_cast<std::uint64_t>(range.count());
  const std::int64_t middle = range.begin + static_cast<std::int64_t>(std::bit_ceil(count) / 2);
  const IndexRange left = {range.begin, middle};
  const IndexRange right = {middle, range.end};
  GPTVQ_RETURN_IF_ERROR(VisitByHalves(left, visit, propagate));
  GPTVQ_RETURN_IF_ERROR(propagate(left, right));
  GPTVQ_RETURN_IF_ERROR(VisitByHalves(right, visit, propagate));
  return propagate(right, left);
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_BY_HALVES_H_
