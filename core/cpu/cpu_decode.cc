// From assignments to weights, and the adjoint of that map. One task per group of a stripe.
#include <algorithm>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/code_geometry.h"
#include "core/cpu/cpu_quant_ops.h"

namespace gptvq {
namespace {

struct GroupRange {
  std::int64_t group = 0;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t column_begin = 0;
  std::int64_t column_end = 0;
};

void ForEachGroup(WorkerPool& pool, const GroupLayout& layout, absl::FunctionRef<void(const GroupRange&)> body) {
  for (const Stripe& stripe : layout.stripes()) {
    pool.ParallelFor(stripe.row_block_count, [&](std::int64_t block) {
      body({stripe.first_group + block, layout.RowBlockBegin(stripe, block), layout.RowBlockBegin(stripe, block + 1),
            stripe.column_begin, stripe.column_begin + stripe.column_count});
    });
  }
}

}  // namespace

absl::Status CpuQuantOps::DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                                        MatrixView<float> q_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("DecodeVectors", code, codebooks, assignments, q_out));
  const int d = code.vector_dim;
  ForEachGroup(pool_, *code.layout, [&](const GroupRange& group) {
    const float* centroids = codebooks.row(group.group);
    for (std::int64_t r = group.row_begin; r < group.row_end; ++r) {
      for (std::int64_t c = group.column_begin; c < group.column_end; c += d) {
        const float scale = ScaleAt(code, r, c);
        const float* centroid = centroids + assignments.at(r, c / d) * d;
        for (int j = 0; j < d; ++j) q_out.at(r, c + j) = scale * centroid[j];
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments,
                                                 MatrixView<const float> x, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("AccumulateCentroidSums", code, sums_out, assignments, x));
  const int d = code.vector_dim;
  ForEachGroup(pool_, *code.layout, [&](const GroupRange& group) {
    float* sums = sums_out.row(group.group);
    std::fill_n(sums, sums_out.cols, 0.0f);
    for (std::int64_t r = group.row_begin; r < group.row_end; ++r) {
      for (std::int64_t c = group.column_begin; c < group.column_end; c += d) {
        const float scale = ScaleAt(code, r, c);
        float* sum = sums + assignments.at(r, c / d) * d;
        for (int j = 0; j < d; ++j) sum[j] += scale * x.at(r, c + j);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                                    absl::Span<const float> column_weights, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateCentroidWeights(code, assignments, column_weights, sums_out));
  const int d = code.vector_dim;
  ForEachGroup(pool_, *code.layout, [&](const GroupRange& group) {
    float* sums = sums_out.row(group.group);
    std::fill_n(sums, sums_out.cols, 0.0f);
    for (std::int64_t r = group.row_begin; r < group.row_end; ++r) {
      for (std::int64_t c = group.column_begin; c < group.column_end; c += d) {
        const float scale = ScaleAt(code, r, c);
        float* sum = sums + assignments.at(r, c / d) * d;
        for (int j = 0; j < d; ++j) sum[j] += scale * scale * column_weights[c + j];
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace gptvq
