#ifndef GPTVQ_PLATFORM_OPTION_VALUES_H_
#define GPTVQ_PLATFORM_OPTION_VALUES_H_

#include <charconv>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace gptvq {

// From text to the values that flags and environment variables hold. Pure. Every error is InvalidArgument and says what
// is expected ("must be ..."); the caller puts the flag's name and the text in front.

struct HostPort {
  std::string host;
  std::uint16_t port = 0;

  std::string ToString() const;  // "host:port", "[::1]:port"
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "worker-7:9464", "0.0.0.0:0", "[::1]:50051".
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// Where a gRPC server listens or is found: "host:port" or "unix:/path/of/socket" (108 bytes at most, the system's
// limit). Returns the text as gRPC takes it.
absl::StatusOr<std::string> ParseRpcAddress(std::string_view text);

// Where a client finds a server: as ParseRpcAddress, or several IPv4 addresses with ports, "10.0.0.1:7070,10.0.0.2:7070", of
// which one serves at a time.
absl::StatusOr<std::string> ParseRpcTarget(std::string_view text);

// Whether only this machine can reach such an address: a unix socket, localhost, 127.0.0.0/8 or [::1].
bool IsLocalRpcAddress(std::string_view address);

// "500ms", "30s", "1h30m"; not negative, at most ten years, whole milliseconds.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

// "4096", "64KiB", "2GiB", "10GB".
absl::StatusOr<std::uint64_t> ParseByteSize(std::string_view text);

// A decimal number in [min, max]; NaN and infinities are never in range.
template <typename T>
struct Range {
  T min;
  T max;
};
absl::StatusOr<double> ParseNumber(std::string_view text, Range<double> range);

template <std::integral T>
absl::StatusOr<T> ParseInteger(std::string_view text, Range<T> range) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < range.min || value > range.max) {
    return absl::InvalidArgumentError(absl::StrCat("must be a whole number from ", range.min, " to ", range.max));
  }
  return value;
}

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OPTION_VALUES_H_
