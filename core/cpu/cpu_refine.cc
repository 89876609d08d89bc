#include <vector>

#include "core/backend/formulas.h"
#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/code_geometry.h"
#include "core/cpu/cpu_quant_ops.h"

namespace gptvq {
namespace {

// Moving q_P by s (c - c_old) changes the loss by 2 delta . g_P + delta H_PP delta^T.
float LossChange(const float* delta, const float* gradient, MatrixView<const float> h, std::int64_t p, int d) {
  float sum = 0;
  for (int i = 0; i < d; ++i) {
    float product = 2 * gradient[i];
    for (int j = 0; j < d; ++j) product += h.at(p + i, p + j) * delta[j];
    sum += product * delta[i];
  }
  return sum;
}

std::int64_t RefineRow(const VectorCode& code, ConstCodebooks codebooks, const RefineBlock& block,
                       const std::vector<StripeSegment>& segments, std::int64_t r, Assignments assignments) {
  const int d = code.vector_dim;
  std::int64_t changed = 0;
  for (const StripeSegment& segment : segments) {
    const float* centroids = codebooks.row(GroupOf(*code.layout, *segment.stripe, r));
    for (std::int64_t column = segment.column_begin; column < segment.column_end; column += d) {
      const std::int64_t p = column - block.column_begin;
      const float scale = ScaleAt(code, r, column);
      std::uint8_t& assigned = assignments.at(r, column / d);
      float best = 0;
      int best_k = assigned;
      float best_delta[kMaxVectorDim] = {};
      for (int k = 0; k < 1 << code.index_bits; ++k) {
        float delta[kMaxVectorDim];
        for (int j = 0; j < d; ++j) delta[j] = scale * (centroids[k * d + j] - centroids[assigned * d + j]);
        const float change = LossChange(delta, block.gradient.row(r) + p, block.hessian, p, d);
        if (change >= best) continue;
        best = change;
        best_k = k;
        for (int j = 0; j < d; ++j) best_delta[j] = delta[j];
      }
      changed += best_k != assigned;
      assigned = static_cast<std::uint8_t>(best_k);
      for (int j = 0; j < d; ++j) {
        block.change_out.at(r, p + j) = best_delta[j];
        for (std::int64_t c = 0; c < block.gradient.cols; ++c) {
          block.gradient.at(r, c) += best_delta[j] * block.hessian.at(p + j, c);
        }
      }
    }
  }
  return changed;
}

}  // namespace

absl::StatusOr<std::int64_t> CpuQuantOps::RefineColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                        const RefineBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckRefineColumns(code, codebooks, block, assignments));
  const std::vector<StripeSegment> segments =
      SegmentsOf(*code.layout, block.column_begin, block.column_begin + block.gradient.cols);
  std::vector<std::int64_t> changes(static_cast<std::size_t>(block.gradient.rows));
  pool_.ParallelFor(block.gradient.rows, [&](std::int64_t r) {
    changes[r] = RefineRow(code, codebooks, block, segments, r, assignments);
  });
  std::int64_t total = 0;
  for (std::int64_t change : changes) total += change;
  return total;
}

}  // namespace gptvq
