#ifndef GPTVQ_CORE_SPEC_QUANTIZED_LINEAR_H_
#define GPTVQ_CORE_SPEC_QUANTIZED_LINEAR_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/matrix_view.h"
#include "core/spec/group_layout.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// The result of quantizing one linear, in host memory: what the recipe returns, the packed format stores and the reader
// gives back. Every number here survives packing exactly. R rows, C columns, d, K, G groups.

// Codebooks with one scale each: entry = code * scale.
struct Int8Codebooks {
  std::vector<std::int8_t> codes;  // [G, K, d]
  std::vector<float> scales;       // [G]; finite, >= 0, each exactly a BF16 value
};

struct Fp16Codebooks {
  std::vector<std::uint16_t> entries;  // [G, K, d], IEEE half
};

// Codebooks of d = 1 as a low-rank product: entry[g, k] = sum over j of codes[g, j] * basis[j, k], j < rank, summed in
// order of j in f32.
struct SvdCodebooks {
  int rank = 0;
  std::vector<std::int8_t> codes;  // [G, rank]
  std::vector<float> basis;        // [rank, K]
};

// 4-bit scales in the logarithmic domain, one per row and per block of `block_columns` columns (the last may be narrower).
// scale(row, b) = 2^(offset[b] + step[b] * code(row, b)).
struct BlockScales {
  int block_columns = 0;            // 0: no block scales, everything below empty
  std::vector<std::uint8_t> codes;  // [R, blocks], 0..15
  std::vector<float> offsets;       // [blocks]
  std::vector<float> steps;         // [blocks], >= 0

  std::int64_t block_count(std::int64_t cols) const {
    return block_columns == 0 ? 0 : (cols + block_columns - 1) / block_columns;
  }
};

// weight(row, column) = scale(row, column / block) * codebook[group][assignment(row, column / d)][column % d].
struct VectorQuantizedLinear {
  GroupLayout layout;
  int vector_dim = 0;
  int index_bits = 0;
  // The centroid of every vector as bits, as it is stored: [R, PackedIndexRowBytes] of core/spec/bit_packing.h, padding 0.
  std::vector<std::uint8_t> packed_indices;
  std::variant<Int8Codebooks, Fp16Codebooks, SvdCodebooks> codebooks;
  BlockScales block_scales;

  // The codebooks as numbers: [G, K, d].
  std::vector<float> DecodedCodebooks() const;

  // The centroid of every vector as a number: [R, C / d], each < K. Precondition, here and below: layout, d and bits are set.
  std::vector<std::uint8_t> Assignments() const;
  void SetAssignments(absl::Span<const std::uint8_t> assignments);
};

// weight(row, permutation[i]) = scale(row, i / group) * (code(row, i) - zero_point(row, i / group)).
// Without act-order the permutation is empty and stands for the identity.
struct UniformQuantizedLinear {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  int bits = 0;
  int group_columns = 0;
  std::vector<std::uint8_t> codes;        // [R, C]
  std::vector<std::uint16_t> scales;      // [R, groups per row], IEEE half
  std::vector<std::uint8_t> zero_points;  // [R, groups per row], each < 2^bits
  std::vector<std::int32_t> permutation;  // [C] or empty

  std::int64_t groups_per_row() const { return (cols + group_columns - 1) / group_columns; }
};

using QuantizedLinear = std::variant<VectorQuantizedLinear, UniformQuantizedLinear>;

std::int64_t RowCount(const QuantizedLinear& linear);
std::int64_t ColumnCount(const QuantizedLinear& linear);

// Checks the lengths and ranges of every array against the geometry, and that every stored float is finite.
// Errors: InvalidArgument naming the array.
absl::Status ValidateQuantizedLinear(const QuantizedLinear& linear);

// Writes the dequantized weights, R x C in f32, in host memory. The plain statement of the formulas above, used to check
// faster decoders. Preconditions: the linear is valid, `weights_out` is R x C.
void Dequantize(const QuantizedLinear& linear, MatrixView<float> weights_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_QUANTIZED_LINEAR_H_
