// The reversed Cholesky factorisation: with J the reversal of the order, J h J = L L^T gives h = V V^T, V = J L J.
// Blocked and right-looking, in f64 on a copy: factor a diagonal tile, solve the tiles below it, subtract their products
// from the trailing tiles. Tiles are of fixed size and each is written by one call, so threads change no bit.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>

#include "absl/strings/str_cat.h"
#include "core/backend/formulas.h"
#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"

extern "C" void dpotrf_(const char* uplo, const blasint* n, double* a, const blasint* lda, blasint* info);

namespace gptvq {
namespace {

constexpr std::int64_t kTile = 192;

// A square row-major matrix in f64 of which only the lower triangle is used.
struct LowerMatrix {
  std::unique_ptr<double[]> data;
  std::int64_t order = 0;

  double* at(std::int64_t row, std::int64_t col) const { return data.get() + row * order + col; }
  blasint stride() const { return static_cast<blasint>(order); }
  std::int64_t tile_count() const { return (order + kTile - 1) / kTile; }
  blasint TileSize(std::int64_t tile) const { return static_cast<blasint>(std::min(kTile, order - tile * kTile)); }
  double* Tile(std::int64_t tile_row, std::int64_t tile_col) const { return at(tile_row * kTile, tile_col * kTile); }
};

// True when the tile was positive definite. LAPACK's column-major upper triangle is the row-major lower one.
bool FactorDiagonalTile(const LowerMatrix& a, std::int64_t tile) {
  const blasint size = a.TileSize(tile);
  const blasint stride = a.stride();
  blasint info = 0;
  dpotrf_("U", &size, a.Tile(tile, tile), &stride, &info);
  if (info != 0) return false;
  for (blasint i = 0; i < size; ++i) {
    const double pivot = a.Tile(tile, tile)[i * a.order + i];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;  // NaN passes through LAPACK unnoticed
  }
  return true;
}

void SolvePanelTile(const LowerMatrix& a, std::int64_t tile_row, std::int64_t tile) {
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, a.TileSize(tile_row), a.TileSize(tile),
              1.0, a.Tile(tile, tile), a.stride(), a.Tile(tile_row, tile), a.stride());
}

// a(row, col) -= a(row, tile) a(col, tile)^T.
void UpdateTrailingTile(const LowerMatrix& a, std::int64_t tile_row, std::int64_t tile_col, std::int64_t tile) {
  if (tile_row == tile_col) {
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, a.TileSize(tile_row), a.TileSize(tile), -1.0,
                a.Tile(tile_row, tile), a.stride(), 1.0, a.Tile(tile_row, tile_row), a.stride());
  } else {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, a.TileSize(tile_row), a.TileSize(tile_col), a.TileSize(tile),
                -1.0, a.Tile(tile_row, tile), a.stride(), a.Tile(tile_col, tile), a.stride(), 1.0,
                a.Tile(tile_row, tile_col), a.stride());
  }
}

// In place; false when the matrix is not positive definite.
bool FactorLower(WorkerPool& pool, const LowerMatrix& a) {
  const std::int64_t tiles = a.tile_count();
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    if (!FactorDiagonalTile(a, tile)) return false;
    const std::int64_t rest = tiles - tile - 1;
    pool.ParallelFor(rest, [&](std::int64_t i) { SolvePanelTile(a, tile + 1 + i, tile); });
    pool.ParallelFor(rest * (rest + 1) / 2, [&](std::int64_t i) {
      std::int64_t row = 0;
      for (; i > row; ++row) i -= row + 1;
      UpdateTrailingTile(a, tile + 1 + row, tile + 1 + i, tile);
    });
  }
  return true;
}

// Solves m V_PP = v_P for the d elements of row r at columns P = p .. p + d - 1, V_PP upper triangular.
void SolveAgainstBlock(MatrixView<const float> v, std::int64_t r, std::int64_t p, int d, MatrixView<float> m_out) {
  double m[kMaxVectorDim];
  for (int j = 0; j < d; ++j) {
    double rest = v.at(r, p + j);
    for (int i = 0; i < j; ++i) rest -= m[i] * v.at(p + i, p + j);
    m[j] = rest / v.at(p + j, p + j);
    m_out.at(r, p + j) = static_cast<float>(m[j]);
  }
}

}  // namespace

absl::Status CpuQuantOps::ReversedCholesky(MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckSquare("ReversedCholesky", h));
  const std::int64_t n = h.rows;
  LowerMatrix a{std::unique_ptr<double[]>(new (std::nothrow) double[static_cast<std::size_t>(n * n)]), n};
  if (a.data == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("ReversedCholesky: no memory for order ", n, " in f64"));
  }
  pool_.ParallelFor(n, [&](std::int64_t r) {
    for (std::int64_t c = r; c < n; ++c) *a.at(n - 1 - r, n - 1 - c) = h.at(r, c);
  });
  if (!FactorLower(pool_, a)) {
    return absl::FailedPreconditionError(
        absl::StrCat("ReversedCholesky: the matrix of order ", n, " is not positive definite"));
  }
  pool_.ParallelFor(n, [&](std::int64_t r) {
    std::fill_n(h.row(r), r, 0.0f);
    for (std::int64_t c = r; c < n; ++c) h.at(r, c) = static_cast<float>(*a.at(n - 1 - r, n - 1 - c));
  });
  return absl::OkStatus();
}

absl::Status CpuQuantOps::NormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<float> m_out) {
  GPTVQ_RETURN_IF_ERROR(CheckNormalizeBlockColumns(v, vector_dim, m_out));
  pool_.ParallelFor(v.rows, [&](std::int64_t r) {
    const std::int64_t own = r / vector_dim * vector_dim;  // first column of the row's own diagonal block
    std::fill_n(m_out.row(r), own + vector_dim, 0.0f);
    m_out.at(r, r) = 1.0f;
    for (std::int64_t p = own + vector_dim; p < v.cols; p += vector_dim) SolveAgainstBlock(v, r, p, vector_dim, m_out);
  });
  return absl::OkStatus();
}

}  // namespace gptvq
