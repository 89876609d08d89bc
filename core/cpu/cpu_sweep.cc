#include <algorithm>
#include <limits>
#include <vector>

#include "core/backend/formulas.h"
#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/code_geometry.h"
#include "core/cpu/cpu_quant_ops.h"

namespace gptvq {
namespace {

// |(t - s c) V_PP|^2, V_PP upper triangular at columns p of the block.
float MetricDistance(const float* t, float scale, const float* c, MatrixView<const float> v, std::int64_t p, int d) {
  float e[kMaxVectorDim];
  float sum = 0;
  for (int j = 0; j < d; ++j) {
    e[j] = t[j] - scale * c[j];
    float z = 0;
    for (int i = 0; i <= j; ++i) z += e[i] * v.at(p + i, p + j);
    sum += z * z;
  }
  return sum;
}

double SweepRow(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                const std::vector<StripeSegment>& segments, std::int64_t r, Assignments assignments) {
  const int d = code.vector_dim;
  const int k_count = 1 << code.index_bits;
  double loss = 0;
  for (const StripeSegment& segment : segments) {
    const float* centroids = codebooks.row(GroupOf(*code.layout, *segment.stripe, r));
    for (std::int64_t column = segment.column_begin; column < segment.column_end; column += d) {
      const std::int64_t p = column - block.column_begin;
      const float scale = ScaleAt(code, r, column);
      float best = std::numeric_limits<float>::infinity();
      int best_k = 0;
      for (int k = 0; k < k_count; ++k) {
        const float distance =
            MetricDistance(block.target.row(r) + p, scale, centroids + k * d, block.metric_factor, p, d);
        if (distance < best) {
          best = distance;
          best_k = k;
        }
      }
      loss += best;
      assignments.at(r, column / d) = static_cast<std::uint8_t>(best_k);
      for (int j = 0; j < d; ++j) {
        const float error = block.weights.at(r, p + j) - scale * centroids[best_k * d + j];
        block.error_out.at(r, p + j) = error;
        for (std::int64_t c = p + d; c < block.target.cols; ++c) {
          block.target.at(r, c) += error * block.feedback.at(p + j, c);
        }
      }
    }
  }
  return loss;
}

}  // namespace

absl::StatusOr<double> CpuQuantOps::SweepColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                 const SweepBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckSweepColumns(code, codebooks, block, assignments));
  const std::vector<StripeSegment> segments =
      SegmentsOf(*code.layout, block.column_begin, block.column_begin + block.target.cols);
  std::vector<double> losses(static_cast<std::size_t>(block.target.rows));
  pool_.ParallelFor(block.target.rows, [&](std::int64_t r) {
    losses[r] = SweepRow(code, codebooks, block, segments, r, assignments);
  });
  double total = 0;
  for (double loss : losses) total += loss;
  return total;
}

}  // namespace gptvq
