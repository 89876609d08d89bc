#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_CLIENT_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/clock.h"
#include "platform/http_client.h"
#include "platform/object_store/s3_credentials.h"
#include "platform/object_store/s3_error.h"
#include "platform/object_store/s3_profile.h"
#include "platform/object_store/s3_retry.h"
#include "platform/object_store/s3_signature.h"

namespace gptvq {

// An object of S3; with an empty key, the bucket.
struct S3Place {
  std::string bucket;
  std::string key;

  std::string ToString() const;  // "s3://bucket/key"
};

enum class S3Persistence {
  kRetry,  // what may succeed in a moment is sent again
  kOnce,   // for cleaning up, where nobody waits for success
};

// One request, as it means and not as it is sent. Borrows the body.
struct S3Call {
  std::string method;
  S3Place place;
  QueryParameters query = {};
  std::vector<HttpHeader> headers = {};  // besides those that every request has; names in lower case
  absl::Span<const std::byte> body = {};
  // The root element of the answer that means success; empty: any answer 2xx does. S3 may say 200 and then fail.
  std::string expected_root = "";
  S3Persistence persistence = S3Persistence::kRetry;
  std::chrono::seconds silence{30};
};

struct S3ObjectHead {
  std::uint64_t size_bytes = 0;
  std::string etag;  // as the server writes it, with its quotes
};

// Requests to the storage of one profile: addressed, signed, sent, judged and, if it may help, sent again. Every request carries the
// signed SHA-256 of its payload, so that the server refuses bytes that were damaged on the way. Owns connections and
// credentials; borrows the clock. Thread-safe.
//
// Errors of every method: those of s3_error.h; Unavailable also when no whole answer came, after all retries; those of
// S3CredentialSource.
class S3Client {
 public:
  // `retry` is shared by all clients of a process, which may end in any order.
  S3Client(S3Profile profile, std::unique_ptr<S3CredentialSource> credentials, std::shared_ptr<S3Retry> retry,
           Clock& clock);

  absl::StatusOr<HttpResponse> Send(const S3Call& call) const;

  absl::StatusOr<S3ObjectHead> Head(const S3Place& place) const;

  // Fills `bytes_out` from `offset` on, from the object whose ETag is `etag` or, if that is empty, whichever it is. Goes
  // on behind what has arrived when an answer breaks off.
  // Errors: also FailedPrecondition when the object was replaced or deleted.
  absl::Status ReadRange(const S3Place& place, const std::string& etag, std::uint64_t offset,
                         absl::Span<std::byte> bytes_out) const;

 private:
  // What one request came to.
  struct Outcome {
    absl::Status status;  // OK: a whole answer that means success
    S3Reaction reaction = S3Reaction::kGiveUp;
  };
  class Patience;

  Outcome SendOnce(const S3Call& call, absl::Span<std::byte> body_out, HttpResponse& response_out) const;
  HttpRequest Signed(const S3Call& call, const S3Credentials& credentials, const std::string& amz_date) const;

  const S3Profile profile_;
  const std::unique_ptr<S3CredentialSource> credentials_;
  const std::shared_ptr<S3Retry> retry_;
  Clock& clock_;
  const HttpClient http_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_CLIENT_H_
