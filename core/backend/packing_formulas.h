#ifndef GPTVQ_CORE_BACKEND_PACKING_FORMULAS_H_
#define GPTVQ_CORE_BACKEND_PACKING_FORMULAS_H_

#include <cstdint>

#include "core/backend/host_device.h"

// Rows of codes of 1 to 8 bits as bits, least significant first (docs/format.md section 5.1), one element of the result at a
// time: what a GPU thread computes. A run of v codes takes ceil(v bits / 8) bytes; core/spec/bit_packing.h does whole runs
// on the host, where the CPU backend uses it.
namespace gptvq {

GPTVQ_HD constexpr std::int64_t PackedRunBytes(std::int64_t count, int bits) { return (count * bits + 7) / 8; }

// Byte `byte` of a run of `count` codes: of every code the bits that fall into it. Bits behind the last code are 0.
// Precondition: every code < 2^bits.
GPTVQ_HD inline std::uint8_t PackedByte(const std::uint8_t* codes, std::int64_t count, int bits, std::int64_t byte) {
  const std::int64_t first_bit = 8 * byte;
  unsigned value = 0;
  for (std::int64_t i = first_bit / bits; i < count && i * bits < first_bit + 8; ++i) {
    const int shift = static_cast<int>(i * bits - first_bit);  // negative where the code begins in the byte before
    value |= shift < 0 ? static_cast<unsigned>(codes[i]) >> -shift : static_cast<unsigned>(codes[i]) << shift;
  }
  return static_cast<std::uint8_t>(value);
}

// Code `index` of a run; reads the one or two bytes that hold it.
GPTVQ_HD inline std::uint8_t UnpackedCode(const std::uint8_t* bytes, int bits, std::int64_t index) {
  const std::int64_t first_bit = index * bits;
  const int shift = static_cast<int>(first_bit % 8);
  unsigned value = static_cast<unsigned>(bytes[first_bit / 8]) >> shift;
  if (shift + bits > 8) value |= static_cast<unsigned>(bytes[first_bit / 8 + 1]) << (8 - shift);
  return static_cast<std::uint8_t>(value & ((1u << bits) - 1));
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_PACKING_FORMULAS_H_
