#ifndef GPTVQ_CORE_CPU_TILED_PRODUCT_H_
#define GPTVQ_CORE_CPU_TILED_PRODUCT_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/backend/quant_ops.h"
#include "core/base/matrix_view.h"
#include "core/base/worker_pool.h"

namespace gptvq {

// c = alpha op(a) op(b) + beta c by one call of BLAS on the calling thread. beta 0 ignores what c held.
// Precondition: the shapes fit. Bitwise determined by the shapes and values alone.
void Gemm(float alpha, MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
          Transpose transpose_b, float beta, MatrixView<float> c);

// A tile of a matrix that is written: rows [row, row + row_count), columns [col, col + col_count).
struct Tile {
  std::int64_t row = 0;
  std::int64_t col = 0;
  std::int64_t row_count = 0;
  std::int64_t col_count = 0;
};

// Calls body once for every tile of a rows x cols matrix, in parallel. The tiles depend on the shape alone.
void ForEachTile(WorkerPool& pool, std::int64_t rows, std::int64_t cols, absl::FunctionRef<void(const Tile&)> body);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_TILED_PRODUCT_H_
