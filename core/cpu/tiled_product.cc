#include "core/cpu/tiled_product.h"

#include <cblas.h>

#include <algorithm>

namespace gptvq {
namespace {

// Large enough that packing costs BLAS a few percent, small enough that 576 x 576 gives every thread something to do.
constexpr std::int64_t kTileRows = 192;
constexpr std::int64_t kTileCols = 384;

// BLAS wants a positive leading dimension even of empty matrices.
blasint LeadingDimension(MatrixView<const float> m) {
  return static_cast<blasint>(std::max<std::int64_t>(m.stride, 1));
}

CBLAS_TRANSPOSE ToCblas(Transpose transpose) { return transpose == Transpose::kNo ? CblasNoTrans : CblasTrans; }

}  // namespace

void Gemm(float alpha, MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
          Transpose transpose_b, float beta, MatrixView<float> c) {
  if (c.rows == 0 || c.cols == 0) return;
  const std::int64_t inner = transpose_a == Transpose::kNo ? a.cols : a.rows;
  cblas_sgemm(CblasRowMajor, ToCblas(transpose_a), ToCblas(transpose_b), static_cast<blasint>(c.rows),
              static_cast<blasint>(c.cols), static_cast<blasint>(inner), alpha, a.data, LeadingDimension(a), b.data,
              LeadingDimension(b), beta, c.data, LeadingDimension(c));
}

void ForEachTile(WorkerPool& pool, std::int64_t rows, std::int64_t cols, absl::FunctionRef<void(const Tile&)> body) {
  const std::int64_t tile_rows = (rows + kTileRows - 1) / kTileRows;
  const std::int64_t tile_cols = (cols + kTileCols - 1) / kTileCols;
  pool.ParallelFor(tile_rows * tile_cols, [&](std::int64_t i) {
    const std::int64_t row = i / tile_cols * kTileRows;
    const std::int64_t col = i % tile_cols * kTileCols;
    body({row, col, std::min(kTileRows, rows - row), std::min(kTileCols, cols - col)});
  });
}

}  // namespace gptvq
