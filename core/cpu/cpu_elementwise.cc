// Element by element and row by row operations of QuantOps.
#include <algorithm>
#include <cmath>

#include "core/backend/quant_checks.h"
#include "core/backend/require.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"

namespace gptvq {

absl::Status CpuQuantOps::Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(x, y), "Axpby", "x and y have the same shape"));
  pool_.ParallelFor(x.rows, [&](std::int64_t r) {
    const float* from = x.row(r);
    float* to = y.row(r);
    for (std::int64_t c = 0; c < x.cols; ++c) to[c] = alpha * from[c] + beta * to[c];
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) {
  GPTVQ_RETURN_IF_ERROR(CheckRowDots(a, b, dots_out));
  pool_.ParallelFor(a.rows, [&](std::int64_t r) {
    double sum = 0;
    for (std::int64_t c = 0; c < a.cols; ++c) sum += static_cast<double>(a.at(r, c)) * b.at(r, c);
    dots_out[r] = sum;
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) {
  GPTVQ_RETURN_IF_ERROR(CheckBlockAbsMax(x, block_columns, maxima_out));
  pool_.ParallelFor(x.rows, [&](std::int64_t r) {
    for (std::int64_t block = 0; block < maxima_out.cols; ++block) {
      float largest = 0;
      for (std::int64_t c = block * block_columns; c < std::min(x.cols, (block + 1) * block_columns); ++c) {
        largest = std::max(largest, std::fabs(x.at(r, c)));
      }
      maxima_out.at(r, block) = largest;
    }
  });
  return absl::OkStatus();
}

}  // namespace gptvq
