#include "platform/job/error_reason.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

constexpr char kReasonPayload[] = "gptvq/reason";
constexpr char kRetryPayload[] = "gptvq/retry-after-ms";

struct Entry {
  std::string_view name;
  absl::StatusCode code;
};

Entry EntryOf(ErrorReason reason) {
  using Code = absl::StatusCode;
  switch (reason) {
    case ErrorReason::kInvalidField: return {"INVALID_FIELD", Code::kInvalidArgument};
    case ErrorReason::kJobUnknown: return {"JOB_UNKNOWN", Code::kNotFound};
    case ErrorReason::kTaskUnknown: return {"TASK_UNKNOWN", Code::kNotFound};
    case ErrorReason::kWorkerUnknown: return {"WORKER_UNKNOWN", Code::kFailedPrecondition};
    case ErrorReason::kUpgradeRequired: return {"UPGRADE_REQUIRED", Code::kFailedPrecondition};
    case ErrorReason::kIdempotencyMismatch: return {"IDEMPOTENCY_MISMATCH", Code::kAlreadyExists};
    case ErrorReason::kStaleEpoch: return {"STALE_EPOCH", Code::kFailedPrecondition};
    case ErrorReason::kNotHeld: return {"NOT_HELD", Code::kFailedPrecondition};
    case ErrorReason::kRollbackSuspected: return {"ROLLBACK_SUSPECTED", Code::kFailedPrecondition};
    case ErrorReason::kJobCancelled: return {"JOB_CANCELLED", Code::kCancelled};
    case ErrorReason::kBadLeaseToken: return {"BAD_LEASE_TOKEN", Code::kPermissionDenied};
    case ErrorReason::kAccessDenied: return {"ACCESS_DENIED", Code::kPermissionDenied};
    case ErrorReason::kIdentityMismatch: return {"IDENTITY_MISMATCH", Code::kPermissionDenied};
    case ErrorReason::kCertificateRefused: return {"CERTIFICATE_REFUSED", Code::kUnauthenticated};
    case ErrorReason::kTokenRefused: return {"TOKEN_REFUSED", Code::kUnauthenticated};
    case ErrorReason::kChecksumMismatch: return {"CHECKSUM_MISMATCH", Code::kDataLoss};
    case ErrorReason::kDigestMismatch: return {"DIGEST_MISMATCH", Code::kDataLoss};
    case ErrorReason::kChunkOutOfOrder: return {"CHUNK_OUT_OF_ORDER", Code::kOutOfRange};
    case ErrorReason::kLayerOutOfOrder: return {"LAYER_OUT_OF_ORDER", Code::kFailedPrecondition};
    case ErrorReason::kLayerConflict: return {"LAYER_CONFLICT", Code::kFailedPrecondition};
    case ErrorReason::kBoundaryConflict: return {"BOUNDARY_CONFLICT", Code::kFailedPrecondition};
    case ErrorReason::kCheckpointOutdated: return {"CHECKPOINT_OUTDATED", Code::kFailedPrecondition};
    case ErrorReason::kOutputMissing: return {"OUTPUT_MISSING", Code::kFailedPrecondition};
    case ErrorReason::kArtifactDeleting: return {"ARTIFACT_DELETING", Code::kUnavailable};
    case ErrorReason::kInputMissing: return {"INPUT_MISSING", Code::kNotFound};
    case ErrorReason::kModelUnusable: return {"MODEL_UNUSABLE", Code::kFailedPrecondition};
    case ErrorReason::kStoreFull: return {"STORE_FULL", Code::kResourceExhausted};
    case ErrorReason::kTooManyWorkers: return {"TOO_MANY_WORKERS", Code::kResourceExhausted};
    case ErrorReason::kTooManyJobs: return {"TOO_MANY_JOBS", Code::kResourceExhausted};
    case ErrorReason::kTooManyUploads: return {"TOO_MANY_UPLOADS", Code::kResourceExhausted};
    case ErrorReason::kTooManyWatchers: return {"TOO_MANY_WATCHERS", Code::kResourceExhausted};
    case ErrorReason::kJournalUnavailable: return {"JOURNAL_UNAVAILABLE", Code::kUnavailable};
    case ErrorReason::kNotLeading: return {"NOT_LEADING", Code::kUnavailable};
    case ErrorReason::kNotReady: return {"NOT_READY", Code::kUnavailable};
    case ErrorReason::kStopping: return {"STOPPING", Code::kUnavailable};
  }
  return {"", Code::kInternal};
}

}  // namespace

std::string_view Name(ErrorReason reason) { return EntryOf(reason).name; }

absl::StatusCode CodeOf(ErrorReason reason) { return EntryOf(reason).code; }

std::optional<ErrorReason> ParseErrorReason(std::string_view text) {
  for (ErrorReason reason : kAllErrorReasons) {
    if (Name(reason) == text) return reason;
  }
  return std::nullopt;
}

absl::Status Refuse(ErrorReason reason, std::string_view message) {
  absl::Status status(CodeOf(reason), absl::string_view(message.data(), message.size()));
  status.SetPayload(kReasonPayload, absl::Cord(std::string(Name(reason))));
  return status;
}

std::optional<ErrorReason> ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonPayload);
  return payload ? ParseErrorReason(std::string(*payload)) : std::nullopt;
}

absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds delay) {
  status.SetPayload(kRetryPayload, absl::Cord(absl::StrCat(delay.count())));
  return status;
}

std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryPayload);
  std::int64_t delay_ms = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &delay_ms)) return std::nullopt;
  return std::chrono::milliseconds(delay_ms);
}

}  // namespace gptvq
