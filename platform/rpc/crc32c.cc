#include "platform/rpc/crc32c.h"

#include <array>

namespace gptvq {
namespace {

using Table = std::array<std::array<std::uint32_t, 256>, 8>;

// table[0] is the byte-wise table of the reflected polynomial; table[k][b] is the effect of byte b followed by k zero bytes, so
// that eight bytes are folded at once (slicing-by-8).
constexpr Table MakeTable() {
  Table table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[0][byte] = crc;
  }
  for (int k = 1; k < 8; ++k) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::uint32_t previous = table[k - 1][byte];
      table[k][byte] = (previous >> 8) ^ table[0][previous & 0xff];
    }
  }
  return table;
}

constexpr Table kTable = MakeTable();

}  // namespace

std::uint32_t Crc32c(std::string_view bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  std::uint32_t crc = 0xffffffffu;
  for (; left >= 8; left -= 8, data += 8) {
    const std::uint32_t low =
        crc ^ (data[0] | data[1] << 8 | data[2] << 16 | static_cast<std::uint32_t>(data[3]) << 24);
    crc = kTable[7][low & 0xff] ^ kTable[6][(low >> 8) & 0xff] ^ kTable[5][(low >> 16) & 0xff] ^ kTable[4][low >> 24] ^
          kTable[3][data[4]] ^ kTable[2][data[5]] ^ kTable[1][data[6]] ^ kTable[0][data[7]];
  }
  for (; left > 0; --left, ++data) crc = (crc >> 8) ^ kTable[0][(crc ^ *data) & 0xff];
  return ~crc;
}

}  // namespace gptvq
