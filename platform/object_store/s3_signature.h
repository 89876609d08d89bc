#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_SIGNATURE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_SIGNATURE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "platform/clock.h"
#include "platform/secret.h"

namespace gptvq {

// Signature Version 4 of AWS for requests whose payload is signed too ("Authenticating Requests: Using the Authorization
// Header" in the Amazon S3 API Reference). Pure; tested with the vectors that AWS publishes.

// Percent-encoding as the signature wants it: everything but A-Z a-z 0-9 - . _ ~ as %XX with capital digits.
enum class EncodedPart {
  kPath,   // '/' stays
  kQuery,  // '/' is encoded
};
std::string PercentEncode(std::string_view text, EncodedPart part);

// Names and values as they mean, not encoded.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;

// "max-keys=2&prefix=J": encoded and sorted; what is sent is what is signed.
std::string CanonicalQuery(const QueryParameters& query);

// "20130524T000000Z".
std::string AmzDate(WallTime time);

// 64 lower-case hexadecimal digits.
std::string Sha256Hex(absl::Span<const std::byte> bytes);

struct SignableRequest {
  std::string method;
  std::string encoded_path;  // begins with '/'
  std::string canonical_query;
  // What is signed: at least host and x-amz-date. Names in lower case, no two the same; values without blanks around.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload_sha256;
};

struct SigningIdentity {
  std::string access_key_id;
  Secret secret_access_key;
  std::string region;
  std::string service;  // "s3"
};

// The text that is hashed and signed; for tests and for people whose server says that it does not match.
std::string CanonicalRequest(const SignableRequest& request);

// The value of the Authorization header. `amz_date` is the value of the x-amz-date header.
std::string Authorization(const SignableRequest& request, const SigningIdentity& identity, std::string_view amz_date);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_SIGNATURE_H_
