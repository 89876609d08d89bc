#ifndef GPTVQ_CORE_DECODE_INDEX_CUTS_H_
#define GPTVQ_CORE_DECODE_INDEX_CUTS_H_

#include <array>
#include <cstdint>

namespace gptvq {

// How 16 indices of `bits` bits are cut from 16 bytes: index i begins at bit i * bits, so its bits lie in two bytes, which
// go to a 16-bit lane; a product with 2^(8 - first bit) brings them to the upper byte.
struct IndexCut {
  alignas(32) std::array<std::uint8_t, 32> bytes{};
  alignas(32) std::array<std::uint16_t, 16> factors{};
};

constexpr std::array<IndexCut, 8> MakeIndexCuts() {
  std::array<IndexCut, 8> cuts{};
  for (int bits = 1; bits <= 7; ++bits) {  // eight bits need no cutting
    for (int i = 0; i < 16; ++i) {
      cuts[bits].bytes[2 * i] = static_cast<std::uint8_t>(i * bits / 8);
      cuts[bits].bytes[2 * i + 1] = static_cast<std::uint8_t>(i * bits / 8 + 1);
      cuts[bits].factors[i] = static_cast<std::uint16_t>(1 << (8 - i * bits % 8));
    }
  }
  return cuts;
}
inline constexpr std::array<IndexCut, 8> kIndexCuts = MakeIndexCuts();

}  // namespace gptvq

#endif  // GPTVQ_CORE_DECODE_INDEX_CUTS_H_
