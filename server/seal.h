#ifndef GPTVQ_SERVER_SEAL_H_
#define GPTVQ_SERVER_SEAL_H_

#include <string>
#include <string_view>

#include "platform/job/lease.h"
#include "platform/secret.h"

namespace gptvq {

// HMAC-SHA-256 (RFC 2104) of a text as 64 hexadecimal digits.
std::string HmacSha256Hex(std::string_view key, std::string_view text);

// Marks texts that this coordinator hands out and gets back, so that nobody else can make them up. The key is the store's
// secret, so seals stay valid across restarts. Immutable.
class Seal {
 public:
  explicit Seal(Secret key) : key_(std::move(key)) {}

  // The token of a lease: depends on everything in it but the token.
  std::string LeaseToken(const Lease& lease) const;
  // True if `lease.token` is its token. Takes the same time wherever they differ.
  bool IsGenuine(const Lease& lease) const;

  // An opaque token for the page that begins after the job with this sequence number, and back.
  std::string PageToken(std::int64_t sequence) const;
  std::optional<std::int64_t> ParsePageToken(std::string_view token) const;

 private:
  const Secret key_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SEAL_H_
