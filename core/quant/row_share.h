#ifndef GPTVQ_CORE_QUANT_ROW_SHARE_H_
#define GPTVQ_CORE_QUANT_ROW_SHARE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/communicator.h"
#include "core/base/index_range.h"
#include "core/spec/group_layout.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// How the rows of a linear are shared out among the ranks of a team, and what a rank has to ask the others about while it
// quantizes its rows as if they were a linear of their own.

// Rows may be cut at multiples of the result, and nowhere else: there a group begins in every stripe, both parts are cut into
// groups as the whole was, and the products of a backend with that Backend::row_unit() do not change. rows(): nowhere.
// Pure. Precondition: row_unit >= 0.
std::int64_t RowStep(const GroupLayout& layout, std::int64_t row_unit);

// At most `rank_count` ranges of rows, in order, none empty, every row in exactly one: steps are dealt out evenly.
// Pure. Preconditions: all numbers > 0.
std::vector<IndexRange> ShareOutRows(std::int64_t rows, std::int64_t row_step, int rank_count);

// The linear of which `parts`, in order of rows, are the ranges that ShareOutRows gave.
// Preconditions: `layout` is the whole linear's; codebooks are int8 or fp16, the same in all parts.
VectorQuantizedLinear JoinRows(const GroupLayout& layout, const std::vector<VectorQuantizedLinear>& parts);

// The rows of one rank, and its connection to the others. The answers are the same on every rank, and those of one rank with
// all rows: sums run over the rows of the linear in order. Immutable; borrows what the communicator borrows.
// Errors of questions: those of Communicator. They are collective: every rank asks the same ones in the same order.
class RowShare {
 public:
  RowShare() = default;
  // All rows on one rank.
  explicit RowShare(const GroupLayout& linear) : rows_{0, linear.rows()}, linear_(linear) {}
  RowShare(const Communicator& ranks, IndexRange rows, const GroupLayout& linear)
      : ranks_(ranks), rows_(rows), linear_(linear) {}

  IndexRange rows() const { return rows_; }              // in the linear
  const GroupLayout& linear() const { return linear_; }  // with all rows
  const Communicator& ranks() const { return ranks_; }

  // The number, in the linear, of the first group of `stripe`, a stripe of the share's own layout.
  std::int64_t FirstGroup(const Stripe& stripe) const;

  // The sum over the rows of the linear; `own` has one number per row of the share.
  absl::StatusOr<double> SumOverRows(absl::Span<const double> own) const;

  absl::StatusOr<std::int64_t> Sum(std::int64_t own) const;
  absl::StatusOr<std::int64_t> Largest(std::int64_t own) const;

 private:
  Communicator ranks_;
  IndexRange rows_;
  GroupLayout linear_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_ROW_SHARE_H_
