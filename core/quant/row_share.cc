#include "core/quant/row_share.h"

#include <algorithm>
#include <numeric>
#include <variant>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/quant/codebook_rounding.h"

namespace gptvq {
namespace {

// The stripe of `layout` at the columns of `stripe`.
const Stripe& SameColumns(const GroupLayout& layout, const Stripe& stripe) {
  const auto found = std::find_if(layout.stripes().begin(), layout.stripes().end(), [&](const Stripe& candidate) {
    return candidate.column_begin == stripe.column_begin;
  });
  GPTVQ_CHECK(found != layout.stripes().end());
  return *found;
}

// The number, in `layout`, of the group that begins at `row` in the stripe at the columns of `part`.
std::int64_t GroupAt(const GroupLayout& layout, const Stripe& part, std::int64_t row) {
  const Stripe& stripe = SameColumns(layout, part);
  const std::int64_t block = row * stripe.row_block_count / layout.rows();
  GPTVQ_CHECK(layout.RowBlockBegin(stripe, block) == row);
  return stripe.first_group + block;
}

// Copies the codebooks of one part, whose first row is `first_row` of the linear.
void PlaceCodebooks(const VectorQuantizedLinear& part, std::int64_t first_row, VectorQuantizedLinear& linear) {
  const std::int64_t entries = std::int64_t{part.vector_dim} << part.index_bits;
  for (const Stripe& stripe : part.layout.stripes()) {
    const std::int64_t target = GroupAt(linear.layout, stripe, first_row);
    for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
      CopyStoredCodebook({stripe.first_group + block, target + block}, entries, part.codebooks, linear.codebooks);
    }
  }
}

}  // namespace

// A stripe of n row blocks begins one exactly, without rounding, at every multiple of rows / gcd(rows, n). Where all stripes
// do, a part has its share of the blocks, each of the height that it has in the whole.
std::int64_t RowStep(const GroupLayout& layout, std::int64_t row_unit) {
  GPTVQ_CHECK(row_unit >= 0);
  const std::int64_t rows = layout.rows();
  if (row_unit == 0) return rows;
  std::int64_t step = std::min(row_unit, rows);
  for (const Stripe& stripe : layout.stripes()) {
    step = std::lcm(step, rows / std::gcd(rows, stripe.row_block_count));
    if (step >= rows) return rows;
  }
  return step;
}

std::vector<IndexRange> ShareOutRows(std::int64_t rows, std::int64_t row_step, int rank_count) {
  GPTVQ_CHECK(rows > 0 && row_step > 0 && rank_count > 0);
  const std::int64_t steps = (rows + row_step - 1) / row_step;
  const std::int64_t count = std::min<std::int64_t>(rank_count, steps);
  std::vector<IndexRange> ranges;
  for (std::int64_t i = 0; i < count; ++i) {
    ranges.push_back({steps * i / count * row_step, std::min(steps * (i + 1) / count * row_step, rows)});
  }
  return ranges;
}

VectorQuantizedLinear JoinRows(const GroupLayout& layout, const std::vector<VectorQuantizedLinear>& parts) {
  const VectorQuantizedLinear& first = parts.front();
  VectorQuantizedLinear linear;
  linear.layout = layout;
  linear.vector_dim = first.vector_dim;
  linear.index_bits = first.index_bits;
  const bool is_fp16 = std::holds_alternative<Fp16Codebooks>(first.codebooks);
  linear.codebooks = MakeStoredCodebooks(is_fp16 ? CodebookDType::kFp16 : CodebookDType::kInt8, layout.group_count(),
                                         std::int64_t{first.vector_dim} << first.index_bits);
  linear.block_scales = first.block_scales;
  linear.block_scales.codes.clear();
  std::int64_t row = 0;
  for (const VectorQuantizedLinear& part : parts) {
    linear.packed_indices.insert(linear.packed_indices.end(), part.packed_indices.begin(), part.packed_indices.end());
    linear.block_scales.codes.insert(linear.block_scales.codes.end(), part.block_scales.codes.begin(),
                                     part.block_scales.codes.end());
    PlaceCodebooks(part, row, linear);
    row += part.layout.rows();
  }
  GPTVQ_CHECK(row == layout.rows());
  return linear;
}

std::int64_t RowShare::FirstGroup(const Stripe& stripe) const { return GroupAt(linear_, stripe, rows_.begin); }

absl::StatusOr<double> RowShare::SumOverRows(absl::Span<const double> own) const {
  if (ranks_.size() == 1) return std::accumulate(own.begin(), own.end(), 0.0);
  GPTVQ_ASSIGN_OR_RETURN(const auto all, ranks_.AllGather(own));
  double sum = 0;
  for (const std::vector<double>& rows : all) sum = std::accumulate(rows.begin(), rows.end(), sum);
  return sum;
}

// Counts are exact in f64 as long as they are below 2^53.
absl::StatusOr<std::int64_t> RowShare::Sum(std::int64_t own) const {
  const double number = static_cast<double>(own);
  GPTVQ_ASSIGN_OR_RETURN(const auto all, ranks_.AllGather({&number, 1}));
  double sum = 0;
  for (const std::vector<double>& of_rank : all) sum += of_rank.front();
  return static_cast<std::int64_t>(sum);
}

absl::StatusOr<std::int64_t> RowShare::Largest(std::int64_t own) const {
  const double number = static_cast<double>(own);
  GPTVQ_ASSIGN_OR_RETURN(const auto all, ranks_.AllGather({&number, 1}));
  double largest = number;
  for (const std::vector<double>& of_rank : all) largest = std::max(largest, of_rank.front());
  return static_cast<std::int64_t>(largest);
}

}  // namespace gptvq
