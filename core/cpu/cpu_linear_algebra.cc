// Products of QuantOps.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/parallel_rows.h"
#include "core/cpu/row_kernels.h"

namespace gptvq {
namespace {

// Rows [begin, begin + count) of a matrix.
struct RowRun {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// Maximal runs of rows without NaN or infinity.
std::vector<RowRun> FiniteRuns(WorkerPool& pool, MatrixView<const float> x) {
  std::vector<char> finite(static_cast<std::size_t>(x.rows));
  ForEachRow(pool, x.rows, [&](std::int64_t r) { finite[r] = RowIsFinite(x.row(r), x.cols); });
  std::vector<RowRun> runs;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    if (!finite[r]) continue;
    if (runs.empty() || runs.back().begin + runs.back().count != r) runs.push_back({r, 0});
    ++runs.back().count;
  }
  return runs;
}

std::int64_t CountRows(const std::vector<RowRun>& runs) {
  std::int64_t count = 0;
  for (const RowRun& run : runs) count += run.count;
  return count;
}

}  // namespace

absl::StatusOr<std::int64_t> CpuQuantOps::AccumulateHessian(ConstTensorView x_tensor, MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateHessian(DType::kF32, x_tensor, h));
  const MatrixView<const float> x = x_tensor.As<const float>();
  const std::vector<RowRun> runs = FiniteRuns(pool_, x);
  for (const RowRun& run : runs) {
    const MatrixView<const float> rows = x.Rows(run.begin, run.count);
    sgemm_.Multiply(1.0f, {rows, Transpose::kYes}, {rows, Transpose::kNo}, 1.0f, h, Region::kUpper);
  }
  return x.rows - CountRows(runs);
}

absl::StatusOr<std::int64_t> CpuQuantOps::AccumulateHessianPanels(ConstTensorView x_tensor,
                                                                  absl::Span<const IndexRange> panels,
                                                                  MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateHessianPanels(DType::kF32, x_tensor, panels, h));
  const MatrixView<const float> x = x_tensor.As<const float>();
  const std::vector<RowRun> runs = FiniteRuns(pool_, x);
  for (const IndexRange& panel : panels) {
    const MatrixView<float> above = h.Block(0, panel.begin, panel.begin, panel.count());
    const MatrixView<float> square = h.Block(panel.begin, panel.begin, panel.count(), panel.count());
    for (const RowRun& run : runs) {
      const MatrixView<const float> rows = x.Rows(run.begin, run.count);
      const MatrixView<const float> right = rows.Cols(panel.begin, panel.count());
      const MatrixView<const float> left = rows.Cols(0, panel.begin);
      sgemm_.Multiply(1.0f, {left, Transpose::kYes}, {right, Transpose::kNo}, 1.0f, above);
      sgemm_.Multiply(1.0f, {right, Transpose::kYes}, {right, Transpose::kNo}, 1.0f, square, Region::kUpper);
    }
  }
  return x.rows - CountRows(runs);
}

absl::Status CpuQuantOps::Symmetrize(MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckSquare("Symmetrize", h));
  constexpr std::int64_t kTile = 32;  // two tiles of 4 KiB stay in the first cache
  const std::int64_t tiles = (h.rows + kTile - 1) / kTile;
  pool_.ParallelFor(tiles, [&](std::int64_t tile_row) {
    for (std::int64_t tile_col = 0; tile_col <= tile_row; ++tile_col) {
      for (std::int64_t r = tile_row * kTile; r < std::min(h.rows, (tile_row + 1) * kTile); ++r) {
        for (std::int64_t c = tile_col * kTile; c < std::min(r, (tile_col + 1) * kTile); ++c) h.at(r, c) = h.at(c, r);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::MatMul(float alpha, MatrixView<const float> a, Transpose transpose_a,
                                 MatrixView<const float> b, Transpose transpose_b, float beta, MatrixView<float> c) {
  GPTVQ_RETURN_IF_ERROR(CheckMatMul(a, transpose_a, b, transpose_b, c));
  sgemm_.Multiply(alpha, {a, transpose_a}, {b, transpose_b}, beta, c);
  return absl::OkStatus();
}

// In f32: this backend would gain nothing by rounding.
absl::Status CpuQuantOps::CoarseMatMul(MatrixView<const float> a, MatrixView<const float> b, float beta,
                                       MatrixView<float> c) {
  return MatMul(1, a, Transpose::kNo, b, Transpose::kNo, beta, c);
}

}  // namespace gptvq
