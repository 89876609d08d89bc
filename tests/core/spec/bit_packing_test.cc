#include "core/spec/bit_packing.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

std::vector<std::uint8_t> Codes(std::int64_t count, int bits) {
  std::vector<std::uint8_t> codes(count);
  for (std::int64_t i = 0; i < count; ++i) codes[i] = static_cast<std::uint8_t>((i * 37 + 11) & ((1 << bits) - 1));
  return codes;
}

// docs/format.md 5.1, bit by bit.
TEST(BitPacking, PutsEveryBitWhereThePageSays) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (std::int64_t count : {0, 1, 2, 5, 7, 8, 9, 15, 16, 17, 100, 128, 133}) {
      SCOPED_TRACE(testing::Message() << count << " codes of " << bits << " bits");
      const std::vector<std::uint8_t> codes = Codes(count, bits);
      std::vector<std::uint8_t> bytes(PackedRowBytes(count, bits), 0xff);

      PackBits(codes, bits, absl::MakeSpan(bytes));

      ASSERT_EQ(static_cast<std::int64_t>(bytes.size()), (count * bits + 7) / 8);
      for (std::int64_t position = 0; position < 8 * static_cast<std::int64_t>(bytes.size()); ++position) {
        const int stored = bytes[position / 8] >> (position % 8) & 1;
        const int expected = position < count * bits ? codes[position / bits] >> (position % bits) & 1 : 0;
        ASSERT_EQ(stored, expected) << "bit " << position;
      }
    }
  }
}

TEST(BitPacking, UnpacksWhatItPacked) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (std::int64_t count = 0; count <= 40; ++count) {
      const std::vector<std::uint8_t> codes = Codes(count, bits);
      std::vector<std::uint8_t> bytes(PackedRowBytes(count, bits));
      std::vector<std::uint8_t> unpacked(count, 0xee);

      PackBits(codes, bits, absl::MakeSpan(bytes));
      UnpackBits(bytes, bits, absl::MakeSpan(unpacked));

      EXPECT_EQ(unpacked, codes) << count << " codes of " << bits << " bits";
    }
  }
}

TEST(BitPacking, SeesBitsInThePadding) {
  EXPECT_TRUE(PaddingIsZero(std::vector<std::uint8_t>{0x3f}, 2, 3));
  EXPECT_FALSE(PaddingIsZero(std::vector<std::uint8_t>{0x7f}, 2, 3));
  EXPECT_TRUE(PaddingIsZero(std::vector<std::uint8_t>{0xff}, 2, 4));
  EXPECT_TRUE(PaddingIsZero(std::vector<std::uint8_t>{}, 0, 4));
}

}  // namespace
}  // namespace gptvq
