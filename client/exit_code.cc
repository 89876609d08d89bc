#include "client/exit_code.h"

namespace gptvq {

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return ExitCode::kOk;
    case absl::StatusCode::kNotFound: return ExitCode::kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:  // of a call: --timeout is told apart by the command that has it
      return ExitCode::kUnreachable;
    case absl::StatusCode::kCancelled: return ExitCode::kCancelled;
    case absl::StatusCode::kResourceExhausted: return ExitCode::kOutOfSpace;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:  // a file or a spec of a kind that is not supported
      return ExitCode::kInvalidInput;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    default:  // a code of a newer peer
      return ExitCode::kInternal;
  }
}

}  // namespace gptvq
