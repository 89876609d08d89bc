// Products of QuantOps through BLAS.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/tiled_product.h"

namespace gptvq {
namespace {

constexpr std::int64_t kHessianTile = 192;
constexpr std::int64_t kFiniteCheckRows = 64;

// Rows [begin, begin + count) of a matrix.
struct RowRun {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// Maximal runs of rows without NaN or infinity.
std::vector<RowRun> FiniteRuns(WorkerPool& pool, MatrixView<const float> x) {
  std::vector<char> finite(static_cast<std::size_t>(x.rows));
  pool.ParallelFor((x.rows + kFiniteCheckRows - 1) / kFiniteCheckRows, [&](std::int64_t piece) {
    const std::int64_t end = std::min(x.rows, (piece + 1) * kFiniteCheckRows);
    for (std::int64_t r = piece * kFiniteCheckRows; r < end; ++r) {
      const float* row = x.row(r);
      finite[r] = std::all_of(row, row + x.cols, [](float value) { return std::isfinite(value); });
    }
  });
  std::vector<RowRun> runs;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    if (!finite[r]) continue;
    if (runs.empty() || runs.back().begin + runs.back().count != r) runs.push_back({r, 0});
    ++runs.back().count;
  }
  return runs;
}

// Adds the upper triangle of x^T x to the upper triangle of h, x being columns of `x` alone.
void AccumulateDiagonalTile(MatrixView<const float> x, MatrixView<float> h) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, static_cast<blasint>(h.rows), static_cast<blasint>(x.rows), 1.0f,
              x.data, static_cast<blasint>(x.stride), 1.0f, h.data, static_cast<blasint>(h.stride));
}

}  // namespace

absl::StatusOr<std::int64_t> CpuQuantOps::AccumulateHessian(ConstTensorView x_tensor, MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateHessian(DType::kF32, x_tensor, h));
  const MatrixView<const float> x = x_tensor.As<const float>();
  const std::vector<RowRun> runs = FiniteRuns(pool_, x);
  std::int64_t used_rows = 0;
  for (const RowRun& run : runs) used_rows += run.count;

  const std::int64_t tiles = (h.cols + kHessianTile - 1) / kHessianTile;
  pool_.ParallelFor(tiles * (tiles + 1) / 2, [&](std::int64_t i) {
    std::int64_t tile_row = 0;
    for (; i >= tiles - tile_row; ++tile_row) i -= tiles - tile_row;
    const std::int64_t row = tile_row * kHessianTile;
    const std::int64_t col = (tile_row + i) * kHessianTile;
    const std::int64_t row_count = std::min(kHessianTile, h.rows - row);
    const std::int64_t col_count = std::min(kHessianTile, h.cols - col);
    const MatrixView<float> target = h.Block(row, col, row_count, col_count);
    for (const RowRun& run : runs) {
      const MatrixView<const float> left = x.Block(run.begin, row, run.count, row_count);
      if (row == col) {
        AccumulateDiagonalTile(left, target);
      } else {
        Gemm(1.0f, left, Transpose::kYes, x.Block(run.begin, col, run.count, col_count), Transpose::kNo, 1.0f, target);
      }
    }
  });
  return x.rows - used_rows;
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
  ForEachTile(pool_, c.rows, c.cols, [&](const Tile& tile) {
    const MatrixView<const float> a_part = transpose_a == Transpose::kNo ? a.Rows(tile.row, tile.row_count)
                                                                         : a.Cols(tile.row, tile.row_count);
    const MatrixView<const float> b_part = transpose_b == Transpose::kNo ? b.Cols(tile.col, tile.col_count)
                                                                         : b.Rows(tile.col, tile.col_count);
    Gemm(alpha, a_part, transpose_a, b_part, transpose_b, beta,
         c.Block(tile.row, tile.col, tile.row_count, tile.col_count));
  });
  return absl::OkStatus();
}

}  // namespace gptvq
