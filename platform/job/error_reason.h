#ifndef GPTVQ_PLATFORM_JOB_ERROR_REASON_H_
#define GPTVQ_PLATFORM_JOB_ERROR_REASON_H_

#include <array>
#include <chrono>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace gptvq {

// Why the coordinator refuses a call, for machines: the status code says what kind of reaction is right, the reason which.
// Listed with their codes in docs/protocol.md. A reason travels as a payload of absl::Status inside a process and as
// google.rpc.ErrorInfo on the wire (platform/rpc/status.h). Pure; no gRPC here.
enum class ErrorReason {
  kInvalidField,  // a field is missing, malformed or out of its limits
  kJobUnknown,
  kTaskUnknown,
  kWorkerUnknown,        // register first
  kUpgradeRequired,      // the protocol versions do not meet
  kIdempotencyMismatch,  // the request id was used for another spec
  kStaleEpoch,           // the task was granted to somebody else since
  kNotHeld,              // the task is no longer held under this epoch
  kRollbackSuspected,    // the call presents an epoch that was never granted: the journal went back in time
  kJobCancelled,         // the job was cancelled or is failing
  kBadLeaseToken,
  kAccessDenied,        // the role of the caller may not call this method, or the certificate gives it none
  kIdentityMismatch,    // a worker speaks for another one than its certificate names
  kCertificateRefused,  // the caller's certificate has expired, is not valid yet, or was revoked
  kTokenRefused,        // the bearer token is missing, wrong or has ended
  kChecksumMismatch,    // CRC-32C of a chunk
  kDigestMismatch,      // SHA-256 of an artifact
  kChunkOutOfOrder,
  kLayerOutOfOrder,
  kLayerConflict,       // a layer was published with another digest
  kBoundaryConflict,    // a task that is run again came to another boundary than before
  kCheckpointOutdated,  // a later checkpoint is kept, or the layer is published
  kOutputMissing,       // a result or checkpoint names an artifact that is not there
  kArtifactDeleting,    // what a layer, checkpoint or result names is being deleted, or was while it was looked for
  kInputMissing,        // nothing at the URI of the model or of a text
  kModelUnusable,       // a model that is malformed, or of a kind that is not supported
  kStoreFull,           // the object store has no space
  kTooManyJobs,
  kTooManyWorkers,
  kTooManyUploads,
  kTooManyWatchers,
  kJournalUnavailable,  // the journal did not take the change; nothing happened
  kNotLeading,          // another coordinator leads; this one stands by
  kNotReady,            // the coordinator is still loading its journal
  kStopping,
};
inline constexpr std::array kAllErrorReasons = {ErrorReason::kInvalidField,      ErrorReason::kJobUnknown,
                                                ErrorReason::kTaskUnknown,       ErrorReason::kWorkerUnknown,
                                                ErrorReason::kUpgradeRequired,   ErrorReason::kIdempotencyMismatch,
                                                ErrorReason::kStaleEpoch,        ErrorReason::kNotHeld,
                                                ErrorReason::kRollbackSuspected, ErrorReason::kJobCancelled,
                                                ErrorReason::kBadLeaseToken,     ErrorReason::kAccessDenied,
                                                ErrorReason::kIdentityMismatch,  ErrorReason::kCertificateRefused,
                                                ErrorReason::kTokenRefused,      ErrorReason::kChecksumMismatch,
                                                ErrorReason::kDigestMismatch,    ErrorReason::kChunkOutOfOrder,
                                                ErrorReason::kLayerOutOfOrder,   ErrorReason::kLayerConflict,
                                                ErrorReason::kBoundaryConflict,  ErrorReason::kCheckpointOutdated,
                                                ErrorReason::kOutputMissing,     ErrorReason::kArtifactDeleting,
                                                ErrorReason::kInputMissing,      ErrorReason::kModelUnusable,
                                                ErrorReason::kStoreFull,         ErrorReason::kTooManyJobs,
                                                ErrorReason::kTooManyWorkers,    ErrorReason::kTooManyUploads,
                                                ErrorReason::kTooManyWatchers,   ErrorReason::kJournalUnavailable,
                                                ErrorReason::kNotLeading,        ErrorReason::kNotReady,
                                                ErrorReason::kStopping};

std::string_view Name(ErrorReason reason);    // STALE_EPOCH, ...
absl::StatusCode CodeOf(ErrorReason reason);  // the one code that a reason travels with
std::optional<ErrorReason> ParseErrorReason(std::string_view text);

// The refusal: CodeOf(reason), the message for people, the reason for machines.
absl::Status Refuse(ErrorReason reason, std::string_view message);

// The reason of a refusal; nullopt for statuses that did not come from Refuse().
std::optional<ErrorReason> ReasonOf(const absl::Status& status);

// How long to wait before trying again, for refusals where waiting helps.
absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds delay);
std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_ERROR_REASON_H_
