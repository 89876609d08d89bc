// Assignments as the bits that are stored, and back. A task takes some rows.
#include <algorithm>

#include "absl/functional/function_ref.h"
#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

constexpr std::int64_t kRowsPerTask = 16;

// The part of a row that is packed by itself: the vectors of one stripe.
struct Run {
  std::int64_t row = 0;
  std::int64_t first_vector = 0;
  std::int64_t vectors = 0;
  std::int64_t first_byte = 0;
  std::int64_t bytes = 0;
};

void ForEachRun(WorkerPool& pool, const VectorCode& code, absl::FunctionRef<void(const Run&)> body) {
  const std::int64_t rows = code.layout->rows();
  pool.ParallelFor((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (std::int64_t r = task * kRowsPerTask; r < std::min(rows, (task + 1) * kRowsPerTask); ++r) {
      Run run{.row = r};
      for (const Stripe& stripe : code.layout->stripes()) {
        run.vectors = stripe.column_count / code.vector_dim;
        run.bytes = PackedRowBytes(run.vectors, code.index_bits);
        body(run);
        run.first_vector += run.vectors;
        run.first_byte += run.bytes;
      }
    }
  });
}

}  // namespace

absl::Status CpuQuantOps::PackAssignments(const VectorCode& code, ConstAssignments assignments,
                                          PackedIndices packed_out) {
  GPTVQ_RETURN_IF_ERROR(CheckPackedIndices("PackAssignments", code, assignments, packed_out));
  ForEachRun(pool_, code, [&](const Run& run) {
    PackBits(absl::MakeConstSpan(assignments.row(run.row) + run.first_vector, run.vectors), code.index_bits,
             absl::MakeSpan(packed_out.row(run.row) + run.first_byte, run.bytes));
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::UnpackAssignments(const VectorCode& code, ConstPackedIndices packed,
                                            Assignments assignments_out) {
  GPTVQ_RETURN_IF_ERROR(CheckPackedIndices("UnpackAssignments", code, assignments_out, packed));
  ForEachRun(pool_, code, [&](const Run& run) {
    UnpackBits(absl::MakeConstSpan(packed.row(run.row) + run.first_byte, run.bytes), code.index_bits,
               absl::MakeSpan(assignments_out.row(run.row) + run.first_vector, run.vectors));
  });
  return absl::OkStatus();
}

}  // namespace gptvq
