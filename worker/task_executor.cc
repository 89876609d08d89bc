#include "worker/task_executor.h"

#include "core/backend/device_lost.h"
#include "worker/device_watch.h"

namespace gptvq {

FailureClass FailureClassOf(const absl::Status& status) {
  if (IsDeviceLost(status) || IsDeviceFault(status)) return FailureClass::kDevice;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted: return FailureClass::kInfra;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange: return FailureClass::kInput;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnimplemented: return FailureClass::kFatal;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded: return FailureClass::kTransient;
    default: return FailureClass::kBug;
  }
}

}  // namespace gptvq
