#ifndef GPTVQ_CORE_BASE_SHA256_H_
#define GPTVQ_CORE_BASE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace gptvq {

// The name of an immutable artifact: SHA-256 of its bytes, and their number. A value type that cannot be built from a
// malformed string.
class Digest {
 public:
  Digest() = default;  // all zero, size 0: names nothing
  Digest(const std::array<std::uint8_t, 32>& hash, std::uint64_t size_bytes) : hash_(hash), size_bytes_(size_bytes) {}

  // From 64 lower-case hexadecimal digits. Errors: InvalidArgument.
  static absl::StatusOr<Digest> FromHex(std::string_view hex, std::uint64_t size_bytes);
  static Digest Of(absl::Span<const std::byte> bytes);

  std::string hex() const;
  std::uint64_t size_bytes() const { return size_bytes_; }
  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  std::array<std::uint8_t, 32> hash_{};
  std::uint64_t size_bytes_ = 0;
};

// SHA-256 (FIPS 180-4) of bytes that arrive in pieces. Thread-compatible. Written here because core/ has no dependency
// that offers it; tested against the published vectors.
class Sha256 {
 public:
  static constexpr std::size_t kBlockBytes = 64;

  // All there is to know behind whole blocks, so that another process can go on there.
  struct Midstate {
    std::array<std::uint32_t, 8> words{};
    std::uint64_t size_bytes = 0;

    friend bool operator==(const Midstate&, const Midstate&) = default;
  };

  Sha256() = default;
  // Behind the `midstate.size_bytes` bytes that made it; a multiple of kBlockBytes.
  explicit Sha256(const Midstate& midstate);

  void Update(absl::Span<const std::byte> bytes);
  // The digest of everything updated so far; updating may go on.
  Digest Finish() const;
  // Precondition: a multiple of kBlockBytes was updated.
  Midstate midstate() const;

 private:
  void Compress(const std::uint8_t* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, kBlockBytes> pending_{};
  std::uint64_t size_bytes_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_SHA256_H_
