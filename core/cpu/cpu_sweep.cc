// SweepColumns: tiles of rows in parallel, each taken through the whole block.
#include <algorithm>
#include <vector>

#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"
#include "core/cpu/tile_kernels.h"

namespace gptvq {
namespace {

// The d x d metric V_PP V_PP^T of every position, in f32 from f64, as the block-diagonal of a square matrix.
std::vector<float> MetricOf(MatrixView<const float> factor, int d) {
  std::vector<float> metric(static_cast<std::size_t>(factor.rows * factor.cols));
  const MatrixView<float> view(metric.data(), factor.rows, factor.cols);
  for (std::int64_t p = 0; p < factor.cols; p += d) {
    for (int i = 0; i < d; ++i) {
      for (int j = 0; j <= i; ++j) {
        double sum = 0;
        for (int l = i; l < d; ++l) sum += static_cast<double>(factor.at(p + i, p + l)) * factor.at(p + j, p + l);
        view.at(p + i, p + j) = static_cast<float>(sum);
      }
    }
  }
  return PackMetric(view, d);
}

// Scratch memory of one thread.
struct SweepScratch {
  TileCode code;
  std::vector<float> weights, target, error;
  std::vector<std::uint8_t> indices;

  explicit SweepScratch(std::int64_t width) {
    for (std::vector<float>* tile : {&weights, &target, &error})
      tile->resize(static_cast<std::size_t>(width * kTileRows));
    indices.resize(static_cast<std::size_t>(width * kTileRows));
  }
};

void ScatterIndices(const std::vector<std::uint8_t>& indices, Assignments rows_out) {
  for (std::int64_t r = 0; r < rows_out.rows; ++r) {
    for (std::int64_t p = 0; p < rows_out.cols; ++p) rows_out.at(r, p) = indices[p * kTileRows + r];
  }
}

double SweepRows(const VectorCode& code, ConstCodebooks codebooks, const BlockGeometry& geometry,
                 const SweepBlock& block, std::int64_t first_row, std::int64_t row_count, SweepScratch& scratch,
                 Assignments assignments) {
  const int d = code.vector_dim;
  scratch.code.Load(code, codebooks, geometry.segments, first_row, row_count, geometry.column_begin,
                    geometry.column_count);
  const bool weights_are_target = block.weights.data == block.target.data;
  GatherTile(block.target.Rows(first_row, row_count), scratch.target.data());
  if (!weights_are_target) GatherTile(block.weights.Rows(first_row, row_count), scratch.weights.data());
  double losses[kTileRows] = {};
  SweepTile tile;
  tile.weights = weights_are_target ? scratch.target.data() : scratch.weights.data();
  tile.target = scratch.target.data();
  tile.error = scratch.error.data();
  tile.indices = scratch.indices.data();
  tile.losses = losses;
  SweepRowTile(geometry, scratch.code, block.feedback, tile);
  ScatterTile(scratch.target.data(), block.target.Rows(first_row, row_count));
  ScatterTile(scratch.error.data(), block.error_out.Rows(first_row, row_count));
  ScatterIndices(scratch.indices,
                 assignments.Block(first_row, geometry.column_begin / d, row_count, geometry.column_count / d));
  double sum = 0;
  for (std::int64_t r = 0; r < row_count; ++r) sum += losses[r];
  return sum;
}

}  // namespace

absl::StatusOr<double> CpuQuantOps::SweepColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                 const SweepBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckSweepColumns(code, codebooks, block, assignments));
  BlockGeometry geometry;
  geometry.vector_dim = code.vector_dim;
  geometry.column_begin = block.column_begin;
  geometry.column_count = block.target.cols;
  geometry.segments = SegmentsOf(*code.layout, block.column_begin, block.column_begin + block.target.cols);
  geometry.metric = MetricOf(block.metric_factor, code.vector_dim);

  const std::int64_t rows = block.target.rows;
  std::vector<double> losses(static_cast<std::size_t>(TileCount(rows)));
  std::vector<SweepScratch> scratch(static_cast<std::size_t>(pool_.thread_count()),
                                    SweepScratch(geometry.column_count));
  pool_.ParallelForWithThread(TileCount(rows), [&](std::int64_t tile, int thread) {
    const std::int64_t first_row = tile * kTileRows;
    losses[tile] = SweepRows(code, codebooks, geometry, block, first_row, std::min(kTileRows, rows - first_row),
                             scratch[thread], assignments);
  });
  double total = 0;
  for (double loss : losses) total += loss;
  return total;
}

}  // namespace gptvq
