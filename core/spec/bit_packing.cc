#include "core/spec/bit_packing.h"

#include <array>
#include <bit>
#include <cstring>

#include "core/base/check.h"

namespace gptvq {
namespace {

static_assert(std::endian::native == std::endian::little, "words below are loaded as little-endian");

// Eight codes fill `Bits` bytes exactly, so rows are cut into such cells; a last, partial cell goes through a copy.
constexpr std::size_t kCellCodes = 8;

template <int Bits>
void PackCell(const std::uint8_t* codes, std::uint8_t* bytes_out) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < kCellCodes; ++i) word |= static_cast<std::uint64_t>(codes[i]) << (i * Bits);
  std::memcpy(bytes_out, &word, Bits);
}

template <int Bits>
void UnpackCell(const std::uint8_t* bytes, std::uint8_t* codes_out) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, Bits);
  constexpr std::uint64_t kMask = (1u << Bits) - 1;
  for (std::size_t i = 0; i < kCellCodes; ++i) codes_out[i] = static_cast<std::uint8_t>(word >> (i * Bits) & kMask);
}

template <int Bits>
void PackRow(absl::Span<const std::uint8_t> codes, absl::Span<std::uint8_t> bytes_out) {
  const std::size_t cells = codes.size() / kCellCodes;
  for (std::size_t c = 0; c < cells; ++c) PackCell<Bits>(codes.data() + c * kCellCodes, bytes_out.data() + c * Bits);
  const std::size_t rest = codes.size() - cells * kCellCodes;
  if (rest == 0) return;
  std::array<std::uint8_t, kCellCodes> last{};
  std::array<std::uint8_t, Bits> last_bytes{};
  std::memcpy(last.data(), codes.data() + cells * kCellCodes, rest);
  PackCell<Bits>(last.data(), last_bytes.data());
  std::memcpy(bytes_out.data() + cells * Bits, last_bytes.data(), bytes_out.size() - cells * Bits);
}

template <int Bits>
void UnpackRow(absl::Span<const std::uint8_t> bytes, absl::Span<std::uint8_t> codes_out) {
  const std::size_t cells = codes_out.size() / kCellCodes;
  for (std::size_t c = 0; c < cells; ++c) UnpackCell<Bits>(bytes.data() + c * Bits, codes_out.data() + c * kCellCodes);
  const std::size_t rest = codes_out.size() - cells * kCellCodes;
  if (rest == 0) return;
  std::array<std::uint8_t, Bits> last_bytes{};
  std::array<std::uint8_t, kCellCodes> last{};
  std::memcpy(last_bytes.data(), bytes.data() + cells * Bits, bytes.size() - cells * Bits);
  UnpackCell<Bits>(last_bytes.data(), last.data());
  std::memcpy(codes_out.data() + cells * kCellCodes, last.data(), rest);
}

}  // namespace

std::int64_t PackedIndexRowBytes(const GroupLayout& layout, int vector_dim, int index_bits) {
  std::int64_t bytes = 0;
  for (const Stripe& stripe : layout.stripes()) bytes += PackedRowBytes(stripe.column_count / vector_dim, index_bits);
  return bytes;
}

void PackBits(absl::Span<const std::uint8_t> codes, int bits, absl::Span<std::uint8_t> bytes_out) {
  using Pack = void (*)(absl::Span<const std::uint8_t>, absl::Span<std::uint8_t>);
  static constexpr Pack kPack[] = {PackRow<1>, PackRow<2>, PackRow<3>, PackRow<4>,
                                   PackRow<5>, PackRow<6>, PackRow<7>, PackRow<8>};
  GPTVQ_CHECK(bits >= 1 && bits <= 8);
  GPTVQ_CHECK(static_cast<std::int64_t>(bytes_out.size()) == PackedRowBytes(codes.size(), bits));
  kPack[bits - 1](codes, bytes_out);
}

void UnpackBits(absl::Span<const std::uint8_t> bytes, int bits, absl::Span<std::uint8_t> codes_out) {
  using Unpack = void (*)(absl::Span<const std::uint8_t>, absl::Span<std::uint8_t>);
  static constexpr Unpack kUnpack[] = {UnpackRow<1>, UnpackRow<2>, UnpackRow<3>, UnpackRow<4>,
                                       UnpackRow<5>, UnpackRow<6>, UnpackRow<7>, UnpackRow<8>};
  GPTVQ_CHECK(bits >= 1 && bits <= 8);
  GPTVQ_CHECK(static_cast<std::int64_t>(bytes.size()) == PackedRowBytes(codes_out.size(), bits));
  kUnpack[bits - 1](bytes, codes_out);
}

bool PaddingIsZero(absl::Span<const std::uint8_t> bytes, std::int64_t count, int bits) {
  GPTVQ_CHECK(static_cast<std::int64_t>(bytes.size()) == PackedRowBytes(count, bits));
  const int used = static_cast<int>(count * bits % 8);
  return used == 0 || bytes.back() >> used == 0;
}

}  // namespace gptvq
