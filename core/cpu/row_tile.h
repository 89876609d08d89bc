#ifndef GPTVQ_CORE_CPU_ROW_TILE_H_
#define GPTVQ_CORE_CPU_ROW_TILE_H_

#include <cstdint>
#include <vector>

#include "core/backend/quant_ops.h"
#include "core/base/matrix_view.h"
#include "core/cpu/code_geometry.h"

namespace gptvq {

// A tile: up to kTileRows consecutive rows of a block of columns, transposed so that one row is one lane of a vector
// register: element (column, row) at [column * kTileRows + row]. The sweep and the refinement take a tile through all
// columns of a block while it stays in the first cache; rows do not depend on each other, so tiles run in parallel, and
// their height changes no result. Rows beyond the end of the matrix are zeros.
inline constexpr std::int64_t kTileRows = 32;
inline constexpr int kMaxCentroids = 256;

inline std::int64_t TileCount(std::int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

// `rows` (at most kTileRows rows) into a tile, and back. tile: [rows.cols, kTileRows].
void GatherTile(MatrixView<const float> rows, float* tile_out);
void ScatterTile(const float* tile, MatrixView<float> rows_out);

// The centroids that the rows of a tile choose from in one stripe.
struct TileCodebook {
  std::int64_t count = 0;             // K
  const float* centroids[kTileRows];  // of every row's group, K x d, row-major
  bool shared = false;                // all rows are in one group
  std::int64_t plane_stride = 0;      // shared: K rounded up to a whole vector
  const float* table = nullptr;       // shared: [d, plane_stride]; otherwise [K, d, kTileRows]
};

// What a tile needs of a VectorCode: codebooks and scales of its rows, gathered once per block of columns. Scratch memory
// that is reused from tile to tile. Thread-compatible.
class TileCode {
 public:
  // Gathers for rows [first_row, first_row + row_count) and columns [column_begin, column_begin + column_count).
  void Load(const VectorCode& code, ConstCodebooks codebooks, const std::vector<StripeSegment>& segments,
            std::int64_t first_row, std::int64_t row_count, std::int64_t column_begin, std::int64_t column_count);

  // One per segment, in their order.
  const std::vector<TileCodebook>& codebooks() const { return tile_codebooks_; }
  // Scales of all rows of the tile, and their reciprocals, for the vector at `column` of the linear.
  const float* scales(std::int64_t column) const { return scales_.data() + ScaleBlock(column) * kTileRows; }
  const float* inverse_scales(std::int64_t column) const {
    return inverse_scales_.data() + ScaleBlock(column) * kTileRows;
  }

 private:
  std::int64_t ScaleBlock(std::int64_t column) const {
    return scale_columns_ == 0 ? 0 : column / scale_columns_ - first_scale_block_;
  }
  void LoadScales(const VectorCode& code, std::int64_t first_row, std::int64_t row_count, std::int64_t column_begin,
                  std::int64_t column_count);

  std::vector<TileCodebook> tile_codebooks_;
  std::vector<std::vector<float>> tables_;  // one per segment
  std::vector<float> scales_;               // [scale blocks, kTileRows]
  std::vector<float> inverse_scales_;
  std::int64_t scale_columns_ = 0;
  std::int64_t first_scale_block_ = 0;
};

// c' A c as the vector code wants it: for every vector position of a block the upper triangle by columns of the d x d
// diagonal block, off-diagonal elements doubled: A_00, 2 A_10, A_11, ... [positions, d (d + 1) / 2].
std::vector<float> PackMetric(MatrixView<const float> symmetric, int vector_dim);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_ROW_TILE_H_
