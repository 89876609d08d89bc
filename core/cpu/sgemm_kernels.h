#ifndef GPTVQ_CORE_CPU_SGEMM_KERNELS_H_
#define GPTVQ_CORE_CPU_SGEMM_KERNELS_H_

#include <cstdint>

#include "core/backend/quant_ops.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// The pieces of a blocked f32 product after Goto and van de Geijn ("Anatomy of high-performance matrix multiplication",
// TOMS 2008): operands are copied into panels that the micro-kernel reads from end to end, and a block of C of
// panel height times panel width is summed up in registers. Compiled for several instruction sets; panel sizes belong to
// the one that this machine takes.

struct PanelShape {
  std::int64_t rows = 0;  // of C that one micro-kernel call writes
  std::int64_t cols = 0;
};
PanelShape MicroPanel();

// Both operands as op(m) = m or its transpose.
struct Operand {
  MatrixView<const float> matrix;
  Transpose transpose = Transpose::kNo;

  std::int64_t rows() const { return transpose == Transpose::kNo ? matrix.rows : matrix.cols; }
  std::int64_t cols() const { return transpose == Transpose::kNo ? matrix.cols : matrix.rows; }
  // Rows [row, row + row_count) and columns [col, col + col_count) of op(m).
  Operand Block(std::int64_t row, std::int64_t col, std::int64_t row_count, std::int64_t col_count) const {
    return {transpose == Transpose::kNo ? matrix.Block(row, col, row_count, col_count)
                                        : matrix.Block(col, row, col_count, row_count),
            transpose};
  }
};

// Panels [ceil(rows / panel rows)][cols][panel rows] of the left operand, and [ceil(cols / panel cols)][rows][panel cols]
// of the right one; what lies beyond the operand is zero. Floats needed: rows or columns rounded up to whole panels, times
// the other size.
void PackLeft(const Operand& left, float* panels_out);
void PackRight(const Operand& right, float* panels_out);

// Which elements of C are written.
enum class Region {
  kAll,
  kUpper,  // those of the whole matrix with row <= column
};

// c = alpha left right + beta c for packed operands with `inner` columns and rows. beta 0 ignores what c held.
// `diagonal`: for kUpper, column minus row of the whole matrix at c's first element.
struct PackedProduct {
  const float* left = nullptr;
  const float* right = nullptr;
  std::int64_t inner = 0;
  float alpha = 1;
  float beta = 0;
  Region region = Region::kAll;
  std::int64_t diagonal = 0;
};
void MultiplyPacked(const PackedProduct& product, MatrixView<float> c);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_SGEMM_KERNELS_H_
