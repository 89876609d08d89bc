#ifndef GPTVQ_CORE_QUANT_BLOCK_SCALE_H_
#define GPTVQ_CORE_QUANT_BLOCK_SCALE_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/quant/row_share.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// Block scales: 4 bits per row and block of columns, in the logarithmic domain (paper section 3.2; BlockScales has the
// decoding formula). All but FitBlockScales is pure and works on host memory.

// BlockScales of `rows` rows with every code, offset and step 0, that is, with every scale 1.
BlockScales MakeBlockScales(std::int64_t rows, std::int64_t cols, int block_columns);

// The logarithms to base 2 of the largest magnitudes of a block of columns, over rows where it is not zero; low > high if there are none.
struct LogRange {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
};

// Of every column of `maxima` [R, blocks], the largest magnitude of each row in each block.
std::vector<LogRange> RangesOfLogs(MatrixView<const float> maxima);

// Chooses offset, step and codes of the blocks [first_block, first_block + maxima.cols) from `maxima` and their `ranges` over
// the rows of the linear: offset = low, step = (high - low) / 15, code = nearest. A row whose block is zero takes the
// column's smallest scale; a column of zeros keeps scale 1.
void EncodeBlockScales(MatrixView<const float> maxima, absl::Span<const LogRange> ranges, std::int64_t first_block,
                       BlockScales& scales);

// Decoded scales of the same blocks, [R, blocks].
void DecodeBlockScales(const BlockScales& scales, std::int64_t first_block, MatrixView<float> scales_out);

// Chooses the scales of the blocks that cover `weights` [R, width], the columns of a linear from `column_begin` on, which
// is a multiple of scales.block_columns, and writes the decoded ones to their columns of `decoded_out` [R, blocks].
// `weights` and `decoded_out` are backend memory and hold the rows of `share`; ranges are those of all rows. Collective.
absl::Status FitBlockScales(Backend& backend, const RowShare& share, MatrixView<const float> weights,
                            std::int64_t column_begin, BlockScales& scales, MatrixView<float> decoded_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_BLOCK_SCALE_H_
