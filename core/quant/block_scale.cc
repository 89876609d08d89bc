#include "core/quant/block_scale.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr float kLargestCode = 15.0f;

LogRange RangeOfLogs(MatrixView<const float> maxima, std::int64_t block) {
  LogRange range;
  for (std::int64_t r = 0; r < maxima.rows; ++r) {
    const float maximum = maxima.at(r, block);
    if (maximum <= 0) continue;
    range.low = std::min(range.low, std::log2(maximum));
    range.high = std::max(range.high, std::log2(maximum));
  }
  return range;
}

// Over the rows of all ranks.
absl::StatusOr<std::vector<LogRange>> RangesOfAllRows(const RowShare& share, std::vector<LogRange> ranges) {
  std::vector<double> own;
  for (const LogRange& range : ranges) own.insert(own.end(), {range.low, range.high});
  GPTVQ_ASSIGN_OR_RETURN(const auto all, share.ranks().AllGather(own));
  for (const std::vector<double>& of_rank : all) {
    for (std::size_t b = 0; b < ranges.size(); ++b) {
      ranges[b].low = std::min(ranges[b].low, static_cast<float>(of_rank[2 * b]));
      ranges[b].high = std::max(ranges[b].high, static_cast<float>(of_rank[2 * b + 1]));
    }
  }
  return ranges;
}

}  // namespace

BlockScales MakeBlockScales(std::int64_t rows, std::int64_t cols, int block_columns) {
  BlockScales scales;
  scales.block_columns = block_columns;
  const std::int64_t blocks = scales.block_count(cols);
  scales.codes.assign(static_cast<std::size_t>(rows * blocks), 0);
  scales.offsets.assign(static_cast<std::size_t>(blocks), 0);
  scales.steps.assign(static_cast<std::size_t>(blocks), 0);
  return scales;
}

std::vector<LogRange> RangesOfLogs(MatrixView<const float> maxima) {
  std::vector<LogRange> ranges;
  for (std::int64_t b = 0; b < maxima.cols; ++b) ranges.push_back(RangeOfLogs(maxima, b));
  return ranges;
}

void EncodeBlockScales(MatrixView<const float> maxima, absl::Span<const LogRange> ranges, std::int64_t first_block,
                       BlockScales& scales) {
  const auto blocks = static_cast<std::int64_t>(scales.offsets.size());
  GPTVQ_CHECK(first_block >= 0 && first_block + maxima.cols <= blocks && std::ssize(ranges) == maxima.cols);
  for (std::int64_t b = 0; b < maxima.cols; ++b) {
    const LogRange& range = ranges[b];
    const bool all_zero = range.low > range.high;
    const float offset = all_zero ? 0.0f : range.low;
    const float step = all_zero ? 0.0f : (range.high - range.low) / kLargestCode;
    scales.offsets[first_block + b] = offset;
    scales.steps[first_block + b] = step;
    for (std::int64_t r = 0; r < maxima.rows; ++r) {
      const float maximum = maxima.at(r, b);
      const float code = maximum <= 0 || step == 0 ? 0.0f : std::nearbyint((std::log2(maximum) - offset) / step);
      scales.codes[r * blocks + first_block + b] = static_cast<std::uint8_t>(std::clamp(code, 0.0f, kLargestCode));
    }
  }
}

void DecodeBlockScales(const BlockScales& scales, std::int64_t first_block, MatrixView<float> scales_out) {
  const auto blocks = static_cast<std::int64_t>(scales.offsets.size());
  GPTVQ_CHECK(first_block >= 0 && first_block + scales_out.cols <= blocks);
  for (std::int64_t r = 0; r < scales_out.rows; ++r) {
    for (std::int64_t b = 0; b < scales_out.cols; ++b) {
      const std::int64_t block = first_block + b;
      const auto code = static_cast<float>(scales.codes[r * blocks + block]);
      scales_out.at(r, b) = std::exp2(scales.offsets[block] + scales.steps[block] * code);
    }
  }
}

absl::Status FitBlockScales(Backend& backend, const RowShare& share, MatrixView<const float> weights,
                            std::int64_t column_begin, BlockScales& scales, MatrixView<float> decoded_out) {
  const std::int64_t first_block = column_begin / scales.block_columns;
  const std::int64_t block_count = (weights.cols + scales.block_columns - 1) / scales.block_columns;
  const MatrixView<float> decoded = decoded_out.Cols(first_block, block_count);
  GPTVQ_RETURN_IF_ERROR(backend.quant().BlockAbsMax(weights, scales.block_columns, decoded));
  std::vector<float> buffer(static_cast<std::size_t>(decoded.rows * block_count));
  const MatrixView<float> host(buffer.data(), decoded.rows, block_count);
  const TensorView device(decoded.data, DType::kF32, decoded.rows, decoded.cols, decoded.stride);
  GPTVQ_RETURN_IF_ERROR(backend.CopyToHost(device, host));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<LogRange> ranges, RangesOfAllRows(share, RangesOfLogs(host)));
  EncodeBlockScales(host, ranges, first_block, scales);
  DecodeBlockScales(scales, first_block, host);
  return backend.CopyFromHost(host, device);
}

}  // namespace gptvq
