#ifndef GPTVQ_CORE_SPEC_BIT_PACKING_H_
#define GPTVQ_CORE_SPEC_BIT_PACKING_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "core/spec/group_layout.h"

namespace gptvq {

// Rows of small codes as bits, least significant first (docs/format.md section 5.1): code i takes the bits
// [i * bits, (i + 1) * bits), bit j of the row being bit j % 8 of byte j / 8. Pure. Preconditions: 1 <= bits <= 8.

// Bytes of a row of `count` codes.
inline std::int64_t PackedRowBytes(std::int64_t count, int bits) { return (count * bits + 7) / 8; }

// Bytes of the packed indices of one row of a linear: those of its stripes, each of whole bytes.
std::int64_t PackedIndexRowBytes(const GroupLayout& layout, int vector_dim, int index_bits);

// Preconditions: every code < 2^bits; bytes_out.size() == PackedRowBytes(codes.size(), bits). Padding bits become 0.
void PackBits(absl::Span<const std::uint8_t> codes, int bits, absl::Span<std::uint8_t> bytes_out);

// Precondition: bytes.size() == PackedRowBytes(codes_out.size(), bits). Every code comes out < 2^bits.
void UnpackBits(absl::Span<const std::uint8_t> bytes, int bits, absl::Span<std::uint8_t> codes_out);

// True when the bits behind the last of `count` codes are 0. Precondition as above.
bool PaddingIsZero(absl::Span<const std::uint8_t> bytes, std::int64_t count, int bits);

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_BIT_PACKING_H_
