// The sweep for the uniform baselines: one weight at a time on a grid per row and group of columns.
#include <algorithm>

#include "core/backend/formulas.h"
#include "core/backend/quant_checks.h"
#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_quant_ops.h"

namespace gptvq {
namespace {

constexpr std::uint16_t kSmallestHalf = 0x0001;
constexpr std::uint16_t kLargestHalf = 0x7bff;

// The grid of columns [begin, end) of a row.
UniformGrid GridOf(const float* row, std::int64_t begin, std::int64_t end, float max_code,
                   std::uint16_t* scale_bits_out) {
  const auto [low, high] = std::minmax_element(row + begin, row + end);
  const std::uint16_t rounded = FloatToHalf(UniformScale(*low, *high, max_code));
  *scale_bits_out = std::clamp(rounded, kSmallestHalf, kLargestHalf);  // positive halves are ordered as their bits
  UniformGrid grid;
  grid.scale = HalfToFloat(*scale_bits_out);
  grid.zero_point = UniformZeroPoint(*low, *high, grid.scale, max_code);
  return grid;
}

void SweepUniformRow(const UniformSweepBlock& block, std::int64_t r) {
  const auto max_code = static_cast<float>((1 << block.bits) - 1);
  const std::int64_t width = block.target.cols;
  float* target = block.target.row(r);
  const float* grid_weights = block.grid_weights.row(r);
  UniformGrid grid;
  for (std::int64_t c = 0; c < width; ++c) {
    if (c % block.group_columns == 0) {
      const std::int64_t group = c / block.group_columns;
      const std::int64_t end = std::min(width, c + block.group_columns);
      grid = GridOf(grid_weights, c, end, max_code, &block.scales_out.at(r, group));
      block.zero_points_out.at(r, group) = static_cast<std::uint8_t>(grid.zero_point);
    }
    const float code = UniformCode(target[c], grid, max_code);
    block.codes_out.at(r, c) = static_cast<std::uint8_t>(code);
    const float error = block.weights.at(r, c) - grid.scale * (code - grid.zero_point);
    block.error_out.at(r, c) = error;
    if (block.feedback.data == nullptr) continue;
    const float* feedback = block.feedback.row(c);
    for (std::int64_t later = c + 1; later < width; ++later) target[later] += error * feedback[later];
  }
}

}  // namespace

absl::Status CpuQuantOps::SweepUniformColumns(const UniformSweepBlock& block) {
  GPTVQ_RETURN_IF_ERROR(CheckSweepUniformColumns(block));
  pool_.ParallelFor(block.target.rows, [&](std::int64_t r) { SweepUniformRow(block, r); });
  return absl::OkStatus();
}

}  // namespace gptvq
