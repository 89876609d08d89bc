// Element by element and row by row operations of QuantOps.
#include <algorithm>

#include "core/backend/quant_checks.h"
#include "core/backend/require.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/parallel_rows.h"
#include "core/cpu/row_kernels.h"

namespace gptvq {

absl::Status CpuQuantOps::Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(x, y), "Axpby", "x and y have the same shape"));
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    const float* from = x.row(r);
    float* to = y.row(r);
    for (std::int64_t c = 0; c < x.cols; ++c) to[c] = alpha * from[c] + beta * to[c];
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) {
  GPTVQ_RETURN_IF_ERROR(CheckRowDots(a, b, dots_out));
  ForEachRow(pool_, a.rows, [&](std::int64_t r) { dots_out[r] = RowDot(a.row(r), b.row(r), a.cols); });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) {
  GPTVQ_RETURN_IF_ERROR(CheckBlockAbsMax(x, block_columns, maxima_out));
  ForEachRow(pool_, x.rows, [&](std::int64_t r) {
    for (std::int64_t block = 0; block < maxima_out.cols; ++block) {
      const std::int64_t begin = block * block_columns;
      maxima_out.at(r, block) = RowAbsMax(x.row(r) + begin, std::min<std::int64_t>(block_columns, x.cols - begin));
    }
  });
  return absl::OkStatus();
}

}  // namespace gptvq
