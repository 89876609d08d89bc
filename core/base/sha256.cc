#include "core/base/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"

namespace gptvq {
namespace {

constexpr std::uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<Digest> Digest::FromHex(std::string_view hex, std::uint64_t size_bytes) {
  std::array<std::uint8_t, 32> hash;
  if (hex.size() != 2 * hash.size()) return absl::InvalidArgumentError("a digest is 64 hexadecimal digits");
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) return absl::InvalidArgumentError("a digest is 64 lower-case hexadecimal digits");
    hash[i] = static_cast<std::uint8_t>(16 * high + low);
  }
  return Digest(hash, size_bytes);
}

Digest Digest::Of(absl::Span<const std::byte> bytes) {
  Sha256 sha256;
  sha256.Update(bytes);
  return sha256.Finish();
}

std::string Digest::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * hash_.size());
  for (std::uint8_t byte : hash_) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

Sha256::Sha256(const Midstate& midstate) : state_(midstate.words), size_bytes_(midstate.size_bytes) {
  GPTVQ_CHECK(size_bytes_ % kBlockBytes == 0);
}

Sha256::Midstate Sha256::midstate() const {
  GPTVQ_CHECK(size_bytes_ % kBlockBytes == 0);
  return {state_, size_bytes_};
}

void Sha256::Update(absl::Span<const std::byte> bytes) {
  const std::uint8_t* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t remaining = bytes.size();
  std::size_t filled = size_bytes_ % pending_.size();
  size_bytes_ += remaining;
  while (remaining > 0) {
    if (filled == 0 && remaining >= pending_.size()) {
      Compress(data);
      data += pending_.size();
      remaining -= pending_.size();
      continue;
    }
    const std::size_t taken = std::min(remaining, pending_.size() - filled);
    std::memcpy(pending_.data() + filled, data, taken);
    data += taken;
    remaining -= taken;
    filled += taken;
    if (filled == pending_.size()) {
      Compress(pending_.data());
      filled = 0;
    }
  }
}

Digest Sha256::Finish() const {
  Sha256 last = *this;
  std::array<std::byte, 72> padding{};
  padding[0] = std::byte{0x80};
  const std::size_t filled = size_bytes_ % 64;
  const std::size_t zeros_end = (filled < 56 ? 56 : 120) - filled;
  const std::uint64_t size_bits = size_bytes_ * 8;
  for (int i = 0; i < 8; ++i) padding[zeros_end + i] = static_cast<std::byte>(size_bits >> (56 - 8 * i));
  last.Update(absl::MakeConstSpan(padding).first(zeros_end + 8));
  std::array<std::uint8_t, 32> hash;
  for (int i = 0; i < 32; ++i) hash[i] = static_cast<std::uint8_t>(last.state_[i / 4] >> (24 - 8 * (i % 4)));
  return Digest(hash, size_bytes_);
}

void Sha256::Compress(const std::uint8_t* block) {
  std::uint32_t w[64];
  for (int i = 0; i < 16; ++i) {
    w[i] = (std::uint32_t{block[4 * i]} << 24) | (std::uint32_t{block[4 * i + 1]} << 16) |
           (std::uint32_t{block[4 * i + 2]} << 8) | std::uint32_t{block[4 * i + 3]};
  }
  for (int i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRoundConstants[i] + w[i];
    const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::uint32_t delta[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state_[i] += delta[i];
}

}  // namespace gptvq
