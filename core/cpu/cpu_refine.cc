// RefineColumns: tiles of rows in parallel, each taken through the whole block.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/tile_kernels.h"

namespace gptvq {
namespace {

// Scratch memory of one thread.
struct RefineScratch {
  TileCode code;
  std::vector<float> gradient, change;
  std::vector<std::uint8_t> indices;

  explicit RefineScratch(std::int64_t width)
      : gradient(static_cast<std::size_t>(width * kTileRows)), change(gradient.size()), indices(gradient.size()) {}
};

// Returns how many vectors of these rows changed.
std::int64_t RefineRows(const VectorCode& code, ConstCodebooks codebooks, const BlockGeometry& geometry,
                        const RefineBlock& block, std::int64_t first_row, std::int64_t row_count,
                        RefineScratch& scratch, Assignments assignments) {
  const int d = code.vector_dim;
  const Assignments assigned =
      assignments.Block(first_row, geometry.column_begin / d, row_count, geometry.column_count / d);
  scratch.code.Load(code, codebooks, geometry.segments, first_row, row_count, geometry.column_begin,
                    geometry.column_count);
  GatherTile(block.gradient.Rows(first_row, row_count), scratch.gradient.data());
  for (std::int64_t p = 0; p < assigned.cols; ++p) {
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      scratch.indices[p * kTileRows + r] = r < row_count ? assigned.at(r, p) : std::uint8_t{0};
    }
  }
  RefineTile tile;
  tile.gradient = scratch.gradient.data();
  tile.change = scratch.change.data();
  tile.indices = scratch.indices.data();
  tile.first_row = static_cast<std::uint32_t>(block.first_row + first_row);
  tile.noise_deviations = block.noise_deviations.empty() ? nullptr : block.noise_deviations.data();
  tile.noise_key = block.noise_key;
  RefineRowTile(geometry, scratch.code, block.hessian, tile);
  ScatterTile(scratch.gradient.data(), block.gradient.Rows(first_row, row_count));
  ScatterTile(scratch.change.data(), block.change_out.Rows(first_row, row_count));
  std::int64_t changed = 0;
  for (std::int64_t r = 0; r < row_count; ++r) {
    for (std::int64_t p = 0; p < assigned.cols; ++p) {
      const std::uint8_t index = scratch.indices[p * kTileRows + r];
      changed += assigned.at(r, p) != index;
      assigned.at(r, p) = index;
    }
  }
  return changed;
}

}  // namespace

absl::StatusOr<std::int64_t> CpuQuantOps::RefineColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                        const RefineBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckRefineColumns(code, codebooks, block, assignments));
  BlockGeometry geometry;
  geometry.vector_dim = code.vector_dim;
  geometry.column_begin = block.column_begin;
  geometry.column_count = block.gradient.cols;
  geometry.segments = SegmentsOf(*code.layout, block.column_begin, block.column_begin + block.gradient.cols);
  geometry.metric = PackMetric(block.hessian, code.vector_dim);

  const std::int64_t rows = block.gradient.rows;
  std::vector<std::int64_t> changes(static_cast<std::size_t>(TileCount(rows)));
  std::vector<RefineScratch> scratch(static_cast<std::size_t>(pool_.thread_count()),
                                     RefineScratch(geometry.column_count));
  pool_.ParallelForWithThread(TileCount(rows), [&](std::int64_t tile, int thread) {
    const std::int64_t first_row = tile * kTileRows;
    changes[tile] = RefineRows(code, codebooks, geometry, block, first_row, std::min(kTileRows, rows - first_row),
                               scratch[thread], assignments);
  });
  std::int64_t total = 0;
  for (std::int64_t change : changes) total += change;
  return total;
}

}  // namespace gptvq
