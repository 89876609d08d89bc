#ifndef GPTVQ_CORE_BASE_PHILOX_H_
#define GPTVQ_CORE_BASE_PHILOX_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace gptvq {

// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// The n-th number of a stream is a pure function of (seed, stream, n), so results do not depend on the order, the thread
// or the process in which numbers are drawn. Immutable; any number of threads may draw.
class Philox {
 public:
  constexpr Philox(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  // A stream named by text, e.g. a tensor name plus a group number.
  static constexpr std::uint64_t StreamOf(std::string_view name, std::uint64_t index = 0) {
    std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
    for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    for (int shift = 0; shift < 64; shift += 8) hash = (hash ^ ((index >> shift) & 0xff)) * 0x100000001b3ull;
    return hash;
  }

  // 128 random bits for counter value `n`.
  constexpr std::array<std::uint32_t, 4> Draw(std::uint64_t n) const {
    std::array<std::uint32_t, 4> x = {Low(n), High(n), Low(stream_), High(stream_)};
    std::uint32_t key0 = Low(seed_);
    std::uint32_t key1 = High(seed_);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t product0 = 0xD2511F53ull * x[0];
      const std::uint64_t product1 = 0xCD9E8D57ull * x[2];
      x = {High(product1) ^ x[1] ^ key0, Low(product1), High(product0) ^ x[3] ^ key1, Low(product0)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return x;
  }

  // Uniform in [0, 1), a multiple of 2^-53.
  constexpr double Uniform(std::uint64_t n) const {
    const auto x = Draw(n);
    return static_cast<double>(((static_cast<std::uint64_t>(x[1]) << 32) | x[0]) >> 11) * 0x1.0p-53;
  }

 private:
  static constexpr std::uint32_t Low(std::uint64_t v) { return static_cast<std::uint32_t>(v); }
  static constexpr std::uint32_t High(std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); }

  std::uint64_t seed_;
  std::uint64_t stream_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_PHILOX_H_
