#include "platform/object_store/s3_error.h"

#include <optional>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

using Code = absl::StatusCode;

constexpr std::size_t kMaxQuotedBytes = 300;

// What is known of the codes of S3, Ceph and others. A code that is not here is judged by its HTTP status.
struct KnownCode {
  std::string_view code;
  Code status;
  S3Reaction reaction;
};
constexpr KnownCode kKnownCodes[] = {
    {"AccessDenied", Code::kPermissionDenied, S3Reaction::kGiveUp},
    {"AllAccessDisabled", Code::kPermissionDenied, S3Reaction::kGiveUp},
    {"AuthorizationHeaderMalformed", Code::kFailedPrecondition, S3Reaction::kGiveUp},
    {"BadDigest", Code::kUnavailable, S3Reaction::kRetryLater},  // damaged on the way
    {"ConditionalRequestConflict", Code::kUnavailable, S3Reaction::kRetryLater},
    {"EntityTooLarge", Code::kResourceExhausted, S3Reaction::kGiveUp},
    {"ExpiredToken", Code::kPermissionDenied, S3Reaction::kRefreshCredentials},
    {"ExpiredTokenException", Code::kPermissionDenied, S3Reaction::kRefreshCredentials},
    {"IDPCommunicationError", Code::kUnavailable, S3Reaction::kRetryLater},
    {"IncompleteBody", Code::kUnavailable, S3Reaction::kRetryLater},
    {"InsufficientCapacity", Code::kResourceExhausted, S3Reaction::kGiveUp},
    {"InternalError", Code::kUnavailable, S3Reaction::kRetryLater},
    {"InvalidAccessKeyId", Code::kPermissionDenied, S3Reaction::kRefreshCredentials},  // replaced while we ran
    {"InvalidObjectState", Code::kFailedPrecondition, S3Reaction::kGiveUp},
    {"InvalidToken", Code::kPermissionDenied, S3Reaction::kRefreshCredentials},
    {"KeyTooLongError", Code::kInvalidArgument, S3Reaction::kGiveUp},
    {"NoSuchBucket", Code::kNotFound, S3Reaction::kGiveUp},
    {"NoSuchKey", Code::kNotFound, S3Reaction::kGiveUp},
    {"NoSuchUpload", Code::kNotFound, S3Reaction::kGiveUp},
    {"NotImplemented", Code::kUnimplemented, S3Reaction::kGiveUp},
    {"OperationAborted", Code::kUnavailable, S3Reaction::kRetryLater},
    {"PermanentRedirect", Code::kFailedPrecondition, S3Reaction::kGiveUp},
    {"PreconditionFailed", Code::kFailedPrecondition, S3Reaction::kGiveUp},
    {"QuotaExceeded", Code::kResourceExhausted, S3Reaction::kGiveUp},
    {"RequestTimeTooSkewed", Code::kPermissionDenied, S3Reaction::kGiveUp},
    {"RequestTimeout", Code::kUnavailable, S3Reaction::kRetryLater},
    {"ServiceUnavailable", Code::kUnavailable, S3Reaction::kRetryLater},
    {"SignatureDoesNotMatch", Code::kPermissionDenied, S3Reaction::kGiveUp},
    {"SlowDown", Code::kUnavailable, S3Reaction::kRetryLater},
    {"TemporaryRedirect", Code::kFailedPrecondition, S3Reaction::kGiveUp},
    {"XAmzContentSHA256Mismatch", Code::kUnavailable, S3Reaction::kRetryLater},  // damaged on the way
};

const KnownCode* Find(std::string_view code) {
  for (const KnownCode& known : kKnownCodes) {
    if (known.code == code) return &known;
  }
  return nullptr;
}

Code CodeOfHttpStatus(int status) {
  switch (status) {
    case 301:
    case 302:
    case 307:
    case 308: return Code::kFailedPrecondition;
    case 401:
    case 403: return Code::kPermissionDenied;
    case 404: return Code::kNotFound;
    case 409:
    case 412: return Code::kFailedPrecondition;
    case 408:
    case 429: return Code::kUnavailable;
    case 501: return Code::kUnimplemented;
    case 507: return Code::kResourceExhausted;
    default: return status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

// What the operator can do about it; empty when the message says it all.
std::string Remedy(const S3Failure& failure, const S3Context& context) {
  const std::string_view code = failure.code;
  if (code == "RequestTimeTooSkewed") {
    return absl::StrCat("the clock of this machine is wrong: the request was signed at ", context.request_date,
                        ", the server's clock says '", failure.server_date,
                        "'; set the clock, and keep it right with NTP");
  }
  if (code == "SignatureDoesNotMatch") {
    return absl::StrCat("check the secret access key of storage profile '", context.profile, "', and that region '",
                        context.region, "' is the one that the server expects");
  }
  if (code == "InvalidAccessKeyId" || code == "InvalidToken" || code == "ExpiredToken") {
    return absl::StrCat("check the credentials of storage profile '", context.profile, "'");
  }
  if (code == "NoSuchBucket") return "make the bucket, or correct the URI";
  const bool is_elsewhere = code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" ||
                            code == "TemporaryRedirect" || (failure.http_status >= 300 && failure.http_status < 400) ||
                            (!failure.region.empty() && failure.region != context.region);
  if (is_elsewhere) {
    return absl::StrCat("the bucket is in region '", failure.region.empty() ? "unknown" : failure.region,
                        "', storage profile '", context.profile, "' says '", context.region,
                        "': correct its region or endpoint");
  }
  if (CodeOfHttpStatus(failure.http_status) == Code::kPermissionDenied && code != "QuotaExceeded") {
    return absl::StrCat("storage profile '", context.profile, "' lacks the right");
  }
  return "";
}

std::string Quoted(std::string_view text) {
  return absl::Utf8SafeCHexEscape(absl::string_view(text.data(), std::min(text.size(), kMaxQuotedBytes)));
}

}  // namespace

S3Reaction ReactionTo(const S3Failure& failure) {
  if (const KnownCode* known = Find(failure.code)) return known->reaction;
  return CodeOfHttpStatus(failure.http_status) == Code::kUnavailable ? S3Reaction::kRetryLater : S3Reaction::kGiveUp;
}

absl::Status ToStatus(const S3Failure& failure, const S3Context& context) {
  const KnownCode* known = Find(failure.code);
  const Code code = known != nullptr ? known->status : CodeOfHttpStatus(failure.http_status);
  std::string message = absl::StrCat(context.place, ": HTTP ", failure.http_status);
  if (!failure.code.empty()) absl::StrAppend(&message, " ", Quoted(failure.code));
  if (!failure.message.empty()) absl::StrAppend(&message, " (", Quoted(failure.message), ")");
  const std::string remedy = Remedy(failure, context);
  return absl::Status(code, remedy.empty() ? message : absl::StrCat(message, ": ", remedy));
}

}  // namespace gptvq
