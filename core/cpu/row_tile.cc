#include "core/cpu/row_tile.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/row_tile.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "core/cpu/transpose-inl.h"

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(TransposeMatrix);

void GatherTile(MatrixView<const float> rows, float* tile_out) {
  if (rows.rows < kTileRows) std::fill_n(tile_out, rows.cols * kTileRows, 0.0f);
  HWY_DYNAMIC_DISPATCH(TransposeMatrix)(rows.data, rows.stride, rows.rows, rows.cols, tile_out, kTileRows);
}

void ScatterTile(const float* tile, MatrixView<float> rows_out) {
  HWY_DYNAMIC_DISPATCH(TransposeMatrix)(tile, kTileRows, rows_out.cols, rows_out.rows, rows_out.data, rows_out.stride);
}

void TileCode::Load(const VectorCode& code, ConstCodebooks codebooks, const std::vector<StripeSegment>& segments,
                    std::int64_t first_row, std::int64_t row_count, std::int64_t column_begin,
                    std::int64_t column_count) {
  constexpr std::int64_t kVectorLanes = 16;  // the widest vector
  const int d = code.vector_dim;
  tile_codebooks_.resize(segments.size());
  tables_.resize(segments.size());
  for (std::size_t s = 0; s < segments.size(); ++s) {
    TileCodebook& tile = tile_codebooks_[s];
    tile.count = std::int64_t{1} << code.index_bits;
    tile.plane_stride = std::max(tile.count, kVectorLanes);
    for (std::int64_t lane = 0; lane < kTileRows; ++lane) {
      const std::int64_t row = first_row + std::min(lane, row_count - 1);
      tile.centroids[lane] = codebooks.row(GroupOf(*code.layout, *segments[s].stripe, row));
    }
    tile.shared = tile.centroids[0] == tile.centroids[kTileRows - 1];
    tables_[s].resize(static_cast<std::size_t>(tile.shared ? d * tile.plane_stride : tile.count * d * kTileRows));
    float* table = tables_[s].data();
    for (std::int64_t e = 0; e < tile.count * d; ++e) {
      if (tile.shared) {
        table[e % d * tile.plane_stride + e / d] = tile.centroids[0][e];
      } else {
        for (std::int64_t lane = 0; lane < kTileRows; ++lane) table[e * kTileRows + lane] = tile.centroids[lane][e];
      }
    }
    tile.table = table;
  }
  LoadScales(code, first_row, row_count, column_begin, column_count);
}

void TileCode::LoadScales(const VectorCode& code, std::int64_t first_row, std::int64_t row_count,
                          std::int64_t column_begin, std::int64_t column_count) {
  scale_columns_ = code.block_scale_columns;
  first_scale_block_ = scale_columns_ == 0 ? 0 : column_begin / scale_columns_;
  const std::int64_t blocks =
      scale_columns_ == 0 || column_count == 0 ? 1 : ScaleBlock(column_begin + column_count - 1) + 1;
  scales_.resize(static_cast<std::size_t>(blocks * kTileRows));
  inverse_scales_.resize(scales_.size());
  for (std::int64_t i = 0; i < blocks * kTileRows; ++i) {
    const std::int64_t row = first_row + std::min(i % kTileRows, row_count - 1);
    scales_[i] = ScaleAt(code, row, (first_scale_block_ + i / kTileRows) * scale_columns_);
    inverse_scales_[i] = 1.0f / scales_[i];
  }
}

std::vector<float> PackMetric(MatrixView<const float> symmetric, int vector_dim) {
  std::vector<float> packed;
  for (std::int64_t p = 0; p < symmetric.cols; p += vector_dim) {
    for (int i = 0; i < vector_dim; ++i) {
      for (int j = 0; j <= i; ++j) packed.push_back((i == j ? 1.0f : 2.0f) * symmetric.at(p + i, p + j));
    }
  }
  return packed;
}

}  // namespace gptvq
#endif  // HWY_ONCE
