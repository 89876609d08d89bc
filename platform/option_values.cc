#include "platform/option_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxHostBytes = 253;        // RFC 1035
constexpr std::size_t kMaxSocketPathBytes = 107;  // sun_path, less its NUL
constexpr std::string_view kUnixScheme = "unix:";

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= kMaxHostBytes && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool IsIpv4Literal(const std::string& host) {
  in_addr unused{};
  return inet_pton(AF_INET, host.c_str(), &unused) == 1;
}

bool IsIpv6Literal(std::string_view host) {
  return host.find(':') != std::string_view::npos && std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' || c == '.';
         });
}

}  // namespace

std::string HostPort::ToString() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const absl::Status expected =
      absl::InvalidArgumentError("must be host:port or [IPv6 address]:port, with a port from 0 to 65535");
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return expected;
  const absl::StatusOr<std::uint16_t> port =
      ParseInteger<std::uint16_t>(text.substr(colon + 1), {.min = 0, .max = 65535});
  if (!port.ok()) return expected;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!IsIpv6Literal(host)) return expected;
  } else if (!IsHostName(host)) {
    return expected;
  }
  return HostPort{.host = std::string(host), .port = *port};
}

absl::StatusOr<std::string> ParseRpcAddress(std::string_view text) {
  if (text.starts_with(kUnixScheme)) {
    const std::string_view path = text.substr(kUnixScheme.size());
    if (path.empty() || path.size() > kMaxSocketPathBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("must have a socket path of 1 to ", kMaxSocketPathBytes, " bytes after unix:"));
    }
    return std::string(text);
  }
  const absl::StatusOr<HostPort> address = ParseHostPort(text);
  if (!address.ok()) return absl::InvalidArgumentError("must be host:port or unix:/path/of/socket");
  return address->ToString();
}

absl::StatusOr<std::string> ParseRpcTarget(std::string_view text) {
  if (text.find(',') == std::string_view::npos) return ParseRpcAddress(text);
  // gRPC takes a list of literals only; names that stand for several servers are the business of DNS or a load balancer.
  std::string target;
  while (true) {
    const std::size_t comma = text.find(',');
    const absl::StatusOr<HostPort> address = ParseHostPort(text.substr(0, comma));
    if (!address.ok() || !IsIpv4Literal(address->host)) {
      return absl::InvalidArgumentError("must be host:port, unix:/path, or several IPv4:port separated by commas");
    }
    absl::StrAppend(&target, target.empty() ? "" : ",", address->ToString());
    if (comma == std::string_view::npos) return target;
    text.remove_prefix(comma + 1);
  }
}

bool IsLocalRpcAddress(std::string_view address) {
  if (address.starts_with(kUnixScheme)) return true;
  const absl::StatusOr<HostPort> target = ParseHostPort(address);
  if (!target.ok()) return false;
  std::array<unsigned char, 4> octets{};
  if (inet_pton(AF_INET, target->host.c_str(), octets.data()) == 1) return octets[0] == 127;
  return target->host == "localhost" || target->host == "::1";
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  constexpr absl::Duration kLimit = absl::Hours(24 * 3653);
  absl::Duration duration;
  if (!absl::ParseDuration(absl::string_view(text.data(), text.size()), &duration) || duration < absl::ZeroDuration() ||
      duration > kLimit || duration % absl::Milliseconds(1) != absl::ZeroDuration()) {
    return absl::InvalidArgumentError("must be a duration such as 500ms, 30s, 5m or 1h30m");
  }
  return absl::ToChronoMilliseconds(duration);
}

absl::StatusOr<std::uint64_t> ParseByteSize(std::string_view text) {
  struct Unit {
    std::string_view suffix;
    std::uint64_t bytes;
  };
  static constexpr Unit kUnits[] = {{"KiB", 1ull << 10},
                                    {"MiB", 1ull << 20},
                                    {"GiB", 1ull << 30},
                                    {"TiB", 1ull << 40},
                                    {"kB", 1000},
                                    {"MB", 1000 * 1000},
                                    {"GB", 1000ull * 1000000},
                                    {"TB", 1000000ull * 1000000},
                                    {"", 1}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const std::string_view digits = text.substr(0, text.size() - unit.suffix.size());
    const auto count =
        ParseInteger<std::uint64_t>(digits, {.min = 0, .max = std::numeric_limits<std::uint64_t>::max() / unit.bytes});
    if (count.ok()) return *count * unit.bytes;
    break;
  }
  return absl::InvalidArgumentError("must be a number of bytes such as 4096, 64KiB, 2GiB or 10GB");
}

absl::StatusOr<double> ParseNumber(std::string_view text, Range<double> range) {
  double value = 0;
  if (!absl::SimpleAtod(absl::string_view(text.data(), text.size()), &value) || !(value >= range.min) ||
      !(value <= range.max) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(absl::StrCat("must be a number from ", range.min, " to ", range.max));
  }
  return value;
}

}  // namespace gptvq
