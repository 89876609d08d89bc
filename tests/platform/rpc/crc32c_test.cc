#include "platform/rpc/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace gptvq {
namespace {

// RFC 3720 appendix B.4.
TEST(Crc32c, EqualsThePublishedVectors) {
  std::string rising(32, '\0');
  std::string falling(32, '\0');
  for (int i = 0; i < 32; ++i) {
    rising[i] = static_cast<char>(i);
    falling[i] = static_cast<char>(31 - i);
  }

  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32c, EqualsBitwiseDivisionForEveryLengthAndAlignment) {
  const auto bitwise = [](std::string_view bytes) {
    std::uint32_t crc = ~0u;
    for (unsigned char byte : bytes) {
      crc ^= byte;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
  };
  std::string text;
  for (int i = 0; i < 64; ++i) text += static_cast<char>(i * 37 + 11);

  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= text.size(); ++size) {
      const std::string_view piece = std::string_view(text).substr(begin, size);
      EXPECT_EQ(Crc32c(piece), bitwise(piece)) << begin << "+" << size;
    }
  }
}

}  // namespace
}  // namespace gptvq
