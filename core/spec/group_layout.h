#ifndef GPTVQ_CORE_SPEC_GROUP_LAYOUT_H_
#define GPTVQ_CORE_SPEC_GROUP_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// Consecutive columns that are cut into the same row blocks. A group is one row block of one stripe.
struct Stripe {
  std::int64_t column_begin = 0;
  std::int64_t column_count = 0;
  std::int64_t first_group = 0;  // number of the group of row block 0
  std::int64_t row_block_count = 0;

  friend bool operator==(const Stripe&, const Stripe&) = default;
};

// Which weights of a linear share a codebook: pure geometry, immutable.
//
// Columns are cut into stripes of min(columns_per_group, l) columns; the last stripe is as narrow as what is left. Each
// stripe's rows are cut into max(1, floor(rows * width / l)) blocks of nearly equal height: block b holds the rows
// [b * rows / n, (b + 1) * rows / n), rounded down. So where l / width divides the rows, a group has exactly l weights,
// as in the paper; elsewhere groups are a little larger, never smaller, and a codebook never costs more bits than the
// preset says, except for a stripe that has fewer than l weights in all. A narrow last stripe gets taller groups.
// Groups are numbered stripe by stripe, row block by row block.
class GroupLayout {
 public:
  GroupLayout() = default;

  // Errors: InvalidArgument when a size is not positive or `cols` is no multiple of the vector dimension.
  static absl::StatusOr<GroupLayout> Make(std::int64_t rows, std::int64_t cols, const QuantSpec& spec);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  const std::vector<Stripe>& stripes() const { return stripes_; }
  std::int64_t group_count() const { return group_count_; }

  // First row of block `block` of a stripe; block == row_block_count gives rows().
  std::int64_t RowBlockBegin(const Stripe& stripe, std::int64_t block) const {
    return block * rows_ / stripe.row_block_count;
  }

  friend bool operator==(const GroupLayout&, const GroupLayout&) = default;

 private:
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::int64_t group_count_ = 0;
  std::vector<Stripe> stripes_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_GROUP_LAYOUT_H_
