#ifndef GPTVQ_CORE_CPU_CODE_GEOMETRY_H_
#define GPTVQ_CORE_CPU_CODE_GEOMETRY_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/backend/quant_ops.h"

namespace gptvq {

// The part of a stripe that lies inside a block of columns.
struct StripeSegment {
  const Stripe* stripe = nullptr;
  std::int64_t column_begin = 0;  // within the linear
  std::int64_t column_end = 0;
};

// The segments of columns [begin, end), left to right.
inline std::vector<StripeSegment> SegmentsOf(const GroupLayout& layout, std::int64_t begin, std::int64_t end) {
  std::vector<StripeSegment> segments;
  for (const Stripe& stripe : layout.stripes()) {
    const std::int64_t from = std::max(begin, stripe.column_begin);
    const std::int64_t to = std::min(end, stripe.column_begin + stripe.column_count);
    if (from < to) segments.push_back({&stripe, from, to});
  }
  return segments;
}

// The row block of a stripe that holds `row`: the largest b with b * rows / n <= row.
inline std::int64_t RowBlockOf(const GroupLayout& layout, const Stripe& stripe, std::int64_t row) {
  return ((row + 1) * stripe.row_block_count - 1) / layout.rows();
}

inline std::int64_t GroupOf(const GroupLayout& layout, const Stripe& stripe, std::int64_t row) {
  return stripe.first_group + RowBlockOf(layout, stripe, row);
}

// The scale of the weights of `row` in the vector that begins at `column`.
inline float ScaleAt(const VectorCode& code, std::int64_t row, std::int64_t column) {
  return code.block_scale_columns == 0 ? 1.0f : code.block_scales.at(row, column / code.block_scale_columns);
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_CODE_GEOMETRY_H_
