#include "core/spec/group_layout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gptvq {

absl::StatusOr<GroupLayout> GroupLayout::Make(std::int64_t rows, std::int64_t cols, const QuantSpec& spec) {
  constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;
  if (rows <= 0 || cols <= 0 || rows > kMaxSide || cols > kMaxSide) {
    return absl::InvalidArgumentError(absl::StrCat("a matrix of ", rows, " x ", cols, " can not be quantized"));
  }
  if (cols % spec.vector_dim != 0) {
    return absl::InvalidArgumentError(absl::StrCat(cols, " columns are no multiple of the vector dimension ",
                                                   spec.vector_dim, "; choose a preset with a smaller dimension"));
  }
  GroupLayout layout;
  layout.rows_ = rows;
  layout.cols_ = cols;
  const std::int64_t width = std::min<std::int64_t>(spec.columns_per_group, spec.group_weights);
  for (std::int64_t column = 0; column < cols; column += width) {
    Stripe stripe;
    stripe.column_begin = column;
    stripe.column_count = std::min(width, cols - column);
    stripe.first_group = layout.group_count_;
    stripe.row_block_count = std::clamp<std::int64_t>(rows * stripe.column_count / spec.group_weights, 1, rows);
    layout.group_count_ += stripe.row_block_count;
    layout.stripes_.push_back(stripe);
  }
  return layout;
}

}  // namespace gptvq
