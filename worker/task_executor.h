#ifndef GPTVQ_WORKER_TASK_EXECUTOR_H_
#define GPTVQ_WORKER_TASK_EXECUTOR_H_

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/spec/linear_report.h"
#include "platform/job/lease.h"
#include "platform/job/task_result.h"

namespace gptvq {

// The daemon as a running task sees it. Used by two threads at a time: one calls PublishLayer or KeepCheckpoint, the other
// everything else.
class TaskSession {
 public:
  virtual ~TaskSession() = default;

  // Says where the work is. Never waits. Cancelled when the work must end.
  virtual absl::Status ReportProgress(int layer, std::string_view step, double fraction) = 0;

  // Commits a layer, one at a time and in order; returns when the coordinator has it. An error ends the work.
  virtual absl::Status PublishLayer(int layer, std::string_view packed, const std::vector<LinearReport>& linears) = 0;

  // Has the coordinator keep what is finished of a layer, whose artifact is stored, for whoever works on the task next. Returns
  // when it has it, with its refusal, or when `abandoned` is requested. An error is no reason to end the work.
  virtual absl::Status KeepCheckpoint(const TaskCheckpoint& checkpoint, std::stop_token abandoned) = 0;

  // Where boundaries and checkpoints are read from and written to.
  virtual const std::string& artifact_store_uri() const = 0;
};

// Runs tasks on one device slot, one at a time. Thread-compatible.
class TaskExecutor {
 public:
  virtual ~TaskExecutor() = default;

  // Runs the task to its end, or until the session says Cancelled. What an error means for the task is FailureClassOf(); it may
  // name artifacts that the task should have read (worker/lost_artifacts.h).
  virtual absl::StatusOr<TaskResult> Execute(const TaskGrant& grant, TaskSession& session) = 0;
};

// How an error of an executor counts: IsDeviceLost() and IsDeviceFault() are DEVICE; Unavailable and ResourceExhausted are INFRA;
// InvalidArgument, NotFound, PermissionDenied, FailedPrecondition and OutOfRange are INPUT; Unimplemented and AlreadyExists
// are FATAL; DataLoss, Aborted and DeadlineExceeded are TRANSIENT; everything else is BUG.
FailureClass FailureClassOf(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_TASK_EXECUTOR_H_
