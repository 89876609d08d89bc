// From assignments to weights, and the adjoint of that map. Both touch every weight once: one table lookup and one store,
// or one load and one addition. They run in every step of the codebook update beside a product of 2 R C^2 operations.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/code_geometry.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/decode_kernels.h"

namespace gptvq {
namespace {

constexpr std::int64_t kRowsPerTask = 16;

// Columns [begin, end) of one stripe under one block scale.
struct ScaleRun {
  const Stripe* stripe = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// The runs of columns [begin, end) of a stripe, left to right.
void AppendRuns(const VectorCode& code, const Stripe& stripe, std::vector<ScaleRun>& runs) {
  const std::int64_t end = stripe.column_begin + stripe.column_count;
  for (std::int64_t begin = stripe.column_begin; begin < end;) {
    const std::int64_t scale_end =
        code.block_scale_columns == 0 ? end : (begin / code.block_scale_columns + 1) * code.block_scale_columns;
    runs.push_back({&stripe, begin, std::min(end, scale_end)});
    begin = runs.back().end;
  }
}

// One group: row block `block` of a stripe.
struct Group {
  const Stripe* stripe = nullptr;
  std::int64_t number = 0;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
};

// Calls body(group, thread) for every group. A task takes the groups that begin in its rows, over all stripes, so that it
// walks along the rows of the matrix.
void ForEachGroup(WorkerPool& pool, const GroupLayout& layout, absl::FunctionRef<void(const Group&, int)> body) {
  const std::int64_t rows = layout.rows();
  pool.ParallelForWithThread((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int thread) {
    for (const Stripe& stripe : layout.stripes()) {
      const std::int64_t blocks = stripe.row_block_count;
      std::int64_t block =
          (task * kRowsPerTask * blocks + rows - 1) / rows;  // the first that begins in the task's rows
      for (; block < blocks && layout.RowBlockBegin(stripe, block) < (task + 1) * kRowsPerTask; ++block) {
        body({&stripe, stripe.first_group + block, layout.RowBlockBegin(stripe, block),
              layout.RowBlockBegin(stripe, block + 1)},
             thread);
      }
    }
  });
}

// sums_out of every group = what `add(run, row, scale, copies of the sums)` adds over its runs.
void SumOverGroups(WorkerPool& pool, const VectorCode& code, Codebooks sums_out,
                   absl::FunctionRef<void(const ScaleRun&, std::int64_t, float, float*)> add) {
  const std::int64_t entries = sums_out.cols;
  const int d = code.vector_dim;
  struct Scratch {
    std::vector<ScaleRun> runs;
    std::vector<float> copies;
  };
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.thread_count()));
  ForEachGroup(pool, *code.layout, [&](const Group& group, int thread) {
    auto& [runs, copies] = scratch[thread];
    runs.clear();
    AppendRuns(code, *group.stripe, runs);
    copies.assign(static_cast<std::size_t>(entries * SumCopies(d)), 0.0f);
    for (std::int64_t r = group.row_begin; r < group.row_end; ++r) {
      for (const ScaleRun& run : runs) add(run, r, ScaleAt(code, r, run.begin), copies.data());
    }
    FoldCopies({copies.data(), d, 1.0f}, entries / d, sums_out.row(group.number));
  });
}

}  // namespace

absl::Status CpuQuantOps::DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                                        MatrixView<float> q_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("DecodeVectors", code, codebooks, assignments, q_out));
  const int d = code.vector_dim;
  const std::int64_t k_count = std::int64_t{1} << code.index_bits;
  std::vector<ScaleRun> runs;
  for (const Stripe& stripe : code.layout->stripes()) AppendRuns(code, stripe, runs);
  pool_.ParallelFor((q_out.rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (std::int64_t r = task * kRowsPerTask; r < std::min(q_out.rows, (task + 1) * kRowsPerTask); ++r) {
      for (const ScaleRun& run : runs) {
        const float* centroids = codebooks.row(GroupOf(*code.layout, *run.stripe, r));
        DecodeRun({centroids, k_count, d, ScaleAt(code, r, run.begin)}, assignments.row(r) + run.begin / d,
                  (run.end - run.begin) / d, q_out.row(r) + run.begin);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments,
                                                 MatrixView<const float> x, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("AccumulateCentroidSums", code, sums_out, assignments, x));
  const int d = code.vector_dim;
  SumOverGroups(pool_, code, sums_out, [&](const ScaleRun& run, std::int64_t r, float scale, float* sums) {
    AddRun({sums, d, scale}, assignments.row(r) + run.begin / d, (run.end - run.begin) / d, x.row(r) + run.begin);
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                                    absl::Span<const float> column_weights, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateCentroidWeights(code, assignments, column_weights, sums_out));
  const int d = code.vector_dim;
  SumOverGroups(pool_, code, sums_out, [&](const ScaleRun& run, std::int64_t r, float scale, float* sums) {
    AddRun({sums, d, scale * scale}, assignments.row(r) + run.begin / d, (run.end - run.begin) / d,
           column_weights.data() + run.begin);
  });
  return absl::OkStatus();
}

}  // namespace gptvq
