#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_ERROR_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_ERROR_H_

#include <string>

#include "absl/status/status.h"

namespace gptvq {

// What a server said instead of an answer, from the HTTP status, the headers and the <Error> document. Plain value.
struct S3Failure {
  int http_status = 0;
  std::string code;         // "" when the answer had no <Error>, as that of HEAD
  std::string message;      // the server's own words
  std::string region;       // where the bucket is, if the server says so
  std::string server_date;  // its Date header
};

// Whom the request concerned, for messages.
struct S3Context {
  std::string place;         // "s3://bucket/key"
  std::string profile;       // the storage profile
  std::string region;        // that was signed for
  std::string request_date;  // the x-amz-date that was sent
};

enum class S3Reaction {
  kGiveUp,
  kRetryLater,          // busy, broken or overloaded: the same request may succeed in a moment
  kRefreshCredentials,  // the credentials have expired: once, with new ones, at once
};

// A function of the failure alone.
S3Reaction ReactionTo(const S3Failure& failure);

// The failure as one of ObjectStore's errors, with the place, the server's code and words, and what the operator can do:
//   PermissionDenied     denied, wrong or expired credentials, a clock that is too wrong to sign with
//   NotFound             no such bucket, no such object
//   ResourceExhausted    quota or space
//   FailedPrecondition   the wrong region or endpoint, a precondition (412), an object that is archived
//   Unavailable          whatever ReactionTo retries
//   InvalidArgument      a key that the server does not take
//   Unimplemented, Internal   a request that the server does not know, or finds wrong
absl::Status ToStatus(const S3Failure& failure, const S3Context& context);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_ERROR_H_
