#ifndef GPTVQ_CORE_DECODE_ROW_READER_H_
#define GPTVQ_CORE_DECODE_ROW_READER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/decode/code_kernels.h"
#include "core/format/packed_layout.h"
#include "core/format/packed_tensors.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// Memory of one thread while it walks over rows; a reader sizes what it needs. Between calls with the same reader it may
// remember what belongs to the last row.
struct RowScratch {
  std::vector<std::uint8_t> indices;
  std::vector<std::int8_t> codes;           // of the row, in blocks of 64 (core/decode/code_kernels.h)
  std::vector<float> lane_scales;           // one for every four codes
  std::vector<std::int64_t> stripe_groups;  // whose codebooks lane_scales holds; empty: nothing yet
  std::vector<PlaneLookup> lookups;
  std::vector<float> block_scales;  // of the row
  std::vector<float> weights;       // of the row, in prepared order
};

// The rows of one packed linear, read from its packed bytes. Columns come in an order of the reader's own, with padding: an
// input is put into that *prepared order* once, then meets all rows. Immutable; any number of threads, one scratch each.
class RowReader {
 public:
  virtual ~RowReader() = default;

  // For every place of the prepared order its column, or kNoColumn for padding. A multiple of 16 places.
  const std::vector<std::int32_t>& column_of_place() const { return column_of_place_; }
  static constexpr std::int32_t kNoColumn = -1;

  // The product of a row and a prepared input. Bitwise equal whatever row came before.
  virtual float DotRow(std::int64_t row, const float* prepared, RowScratch& scratch) const = 0;
  // The weights of a row in prepared order: those of Dequantize within three roundings. Padding holds anything finite, which
  // meets the zeros of a prepared input.
  virtual void ReadRow(std::int64_t row, float* weights_out, RowScratch& scratch) const = 0;

 protected:
  std::vector<std::int32_t> column_of_place_;  // filled by the constructors
};

// Which of the three ways fits is decided by MakeRowReader. `linear` is the unpacked form of the tensors.
//
// Codes: int8 codebooks, or uniform grids up to 7 bits. The row becomes int8 codes and a scale for every four of them.
std::unique_ptr<RowReader> MakeVectorCodeReader(const VectorLayout& layout, const VectorQuantizedLinear& linear,
                                                std::vector<std::uint8_t> packed_indices);
std::unique_ptr<RowReader> MakeUniformCodeReader(const UniformQuantizedLinear& linear,
                                                 std::vector<std::uint8_t> packed_codes);
// Floats: everything else (half and SVD codebooks, 8-bit grids, block scales narrower than four vectors).
std::unique_ptr<RowReader> MakeFloatReader(const VectorQuantizedLinear& linear,
                                           std::vector<std::uint8_t> packed_indices);
std::unique_ptr<RowReader> MakeFloatReader(const UniformQuantizedLinear& linear,
                                           std::vector<std::uint8_t> packed_codes);

// Whether MakeVectorCodeReader takes the linear: int8 codebooks, and no block scale that changes inside four vectors.
bool HasCodeReader(const VectorLayout& layout);

// Scale of every (block of columns, 4-bit code): [blocks][16].
std::vector<float> BlockScaleTable(const BlockScales& scales);

// The row block of a stripe that holds `row`.
inline std::int64_t RowBlockOf(const GroupLayout& layout, const Stripe& stripe, std::int64_t row) {
  return ((row + 1) * stripe.row_block_count - 1) / layout.rows();
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_DECODE_ROW_READER_H_
