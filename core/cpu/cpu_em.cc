// ClusterStripe: one task per group.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/code_geometry.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/em_group.h"

namespace gptvq {
namespace {

// Rows [row_begin, row_end) of the stripe, vectors in row-major order.
GroupVectors GatherGroup(const VectorCode& code, const Stripe& stripe, MatrixView<const float> x,
                         absl::Span<const float> column_weights, std::int64_t row_begin, std::int64_t row_end) {
  const int d = code.vector_dim;
  const std::int64_t positions = stripe.column_count / d;
  GroupVectors vectors(d, (row_end - row_begin) * positions);
  std::int64_t n = 0;
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    for (std::int64_t p = 0; p < positions; ++p, ++n) {
      const float scale = ScaleAt(code, r, stripe.column_begin + p * d);
      for (int j = 0; j < d; ++j) {
        vectors.x(j)[n] = x.at(r, p * d + j) / scale;
        vectors.w(j)[n] = column_weights[p * d + j] * scale * scale;
      }
    }
  }
  return vectors;
}

}  // namespace

absl::StatusOr<EmResult> CpuQuantOps::ClusterStripe(const VectorCode& code, const Stripe& stripe,
                                                    MatrixView<const float> x, absl::Span<const float> column_weights,
                                                    const EmOptions& options, Codebooks codebooks) {
  GPTVQ_RETURN_IF_ERROR(CheckClusterStripe(code, stripe, x, column_weights, codebooks));
  std::vector<EmResult> results(static_cast<std::size_t>(stripe.row_block_count));
  pool_.ParallelFor(stripe.row_block_count, [&](std::int64_t block) {
    const std::int64_t group = stripe.first_group + block;
    const GroupVectors vectors = GatherGroup(code, stripe, x, column_weights, code.layout->RowBlockBegin(stripe, block),
                                             code.layout->RowBlockBegin(stripe, block + 1));
    Centroids centroids(code.vector_dim, 1 << code.index_bits);
    SeedCentroids(vectors, options, options.stream + static_cast<std::uint64_t>(group), centroids);
    results[block] = ClusterGroup(vectors, options, centroids);
    for (int k = 0; k < centroids.count; ++k) {
      for (int j = 0; j < centroids.dim; ++j) codebooks.at(group, k * centroids.dim + j) = centroids.plane(j)[k];
    }
  });
  EmResult total;
  for (const EmResult& result : results) {
    total.iterations = std::max(total.iterations, result.iterations);
    total.objective += result.objective;
  }
  return total;
}

}  // namespace gptvq
