#ifndef GPTVQ_CORE_CPU_TILE_KERNELS_H_
#define GPTVQ_CORE_CPU_TILE_KERNELS_H_

#include <cstdint>
#include <vector>

#include "core/base/matrix_view.h"
#include "core/cpu/row_tile.h"

namespace gptvq {

// The inner loops of SweepColumns and RefineColumns: one tile of rows through one block of B columns. Tiles are
// [B, kTileRows], indices [B / d, kTileRows]. Compiled for several instruction sets, the best one of the machine is taken.

struct BlockGeometry {
  int vector_dim = 0;
  std::int64_t column_begin = 0;        // of the block, within the linear
  std::int64_t column_count = 0;        // B
  std::vector<StripeSegment> segments;  // of the block
  std::vector<float> metric;            // PackMetric of every position
};

struct SweepTile {
  const float* weights = nullptr;  // may be `target` or `error`
  float* target = nullptr;
  float* error = nullptr;
  std::uint8_t* indices = nullptr;
  double* losses = nullptr;  // [kTileRows], added to
};
void SweepRowTile(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> feedback,
                  const SweepTile& tile);

struct RefineTile {
  float* gradient = nullptr;
  float* change = nullptr;
  std::uint8_t* indices = nullptr;          // present choice in, new choice out
  std::uint32_t first_row = 0;              // of the tile, within the linear
  const float* noise_deviations = nullptr;  // [B], or null
  std::uint32_t noise_key = 0;
};
void RefineRowTile(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> hessian,
                   const RefineTile& tile);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_TILE_KERNELS_H_
