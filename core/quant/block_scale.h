#ifndef GPTVQ_CORE_QUANT_BLOCK_SCALE_H_
#define GPTVQ_CORE_QUANT_BLOCK_SCALE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// Block scales: 4 bits per row and block of columns, in the logarithmic domain (paper section 3.2; BlockScales has the
// decoding formula). All but FitBlockScales is pure and works on host memory.

// BlockScales of `rows` rows with every code, offset and step 0, that is, with every scale 1.
BlockScales MakeBlockScales(std::int64_t rows, std::int64_t cols, int block_columns);

// Chooses offset, step and codes of the blocks [first_block, first_block + maxima.cols) from the largest magnitude of each
// row in each block, `maxima` [R, blocks]: offset = log2 of the smallest one in the block's column, step = the range of
// the logarithms / 15, code = nearest. A row whose block is zero takes the column's smallest scale; a column of zeros
// keeps scale 1.
void EncodeBlockScales(MatrixView<const float> maxima, std::int64_t first_block, BlockScales& scales);

// Decoded scales of the same blocks, [R, blocks].
void DecodeBlockScales(const BlockScales& scales, std::int64_t first_block, MatrixView<float> scales_out);

// Chooses the scales of the blocks that cover `weights` [R, width], the columns of a linear from `column_begin` on, which
// is a multiple of scales.block_columns, and writes the decoded ones to their columns of `decoded_out` [R, blocks].
// `weights` and `decoded_out` are backend memory.
absl::Status FitBlockScales(Backend& backend, MatrixView<const float> weights, std::int64_t column_begin,
                            BlockScales& scales, MatrixView<float> decoded_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_BLOCK_SCALE_H_
