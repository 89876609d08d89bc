#ifndef GPTVQ_PLATFORM_RPC_CONVERT_TASK_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_TASK_H_

#include "absl/status/statusor.h"
#include "gptvq/v1/job.pb.h"
#include "gptvq/v1/worker_service.pb.h"
#include "platform/job/lease.h"
#include "platform/job/task.h"

namespace gptvq {

// What travels between the coordinator and workers. FromProto(ToProto(x)) == x for every valid x. Pure.
// Errors of every FromProto: InvalidArgument (INVALID_FIELD) naming the field: something required is missing, an enum is
// UNSPECIFIED or unknown, a number is not finite or out of its limits, a text is too long.

v1::ArtifactRef ToProto(const Digest& digest);
v1::TaskKind ToProto(TaskKind kind);
v1::TaskState ToProto(TaskState state);
v1::TaskPhase ToProto(TaskPhase phase);
v1::FailureClass ToProto(FailureClass failure_class);
v1::EvaluationTarget ToProto(EvaluationTarget target);
v1::LayerRange ToProto(LayerRange range);
v1::TaskProgress ToProto(const TaskProgress& progress);
v1::TaskFailure ToProto(const TaskFailure& failure);
v1::TaskResult ToProto(const TaskResult& result);
v1::Lease ToProto(const Lease& lease);
v1::TaskGrant ToProto(const TaskGrant& grant);
v1::AuditOutcome ToProto(AuditOutcome outcome);
v1::TaskAudit ToProto(const AuditStatus& audit);

absl::StatusOr<Digest> FromProto(const v1::Digest& proto);
absl::StatusOr<Digest> FromProto(const v1::ArtifactRef& proto);
absl::StatusOr<TaskKind> FromProto(v1::TaskKind kind);
absl::StatusOr<TaskState> FromProto(v1::TaskState state);
absl::StatusOr<EvaluationTarget> FromProto(v1::EvaluationTarget target);
absl::StatusOr<TaskProgress> FromProto(const v1::TaskProgress& proto);
absl::StatusOr<TaskResult> FromProto(const v1::TaskResult& proto);
absl::StatusOr<Lease> FromProto(const v1::Lease& proto);
absl::StatusOr<TaskGrant> FromProto(const v1::TaskGrant& proto);
absl::StatusOr<AuditOutcome> FromProto(v1::AuditOutcome outcome);
absl::StatusOr<AuditStatus> FromProto(const v1::TaskAudit& proto);

// Never an error: reports of failures are taken from newer peers too. An unknown class is TRANSIENT; the message is cut to
// kMaxFailureMessageBytes.
FailureClass FromProto(v1::FailureClass failure_class);
TaskFailure FromProto(const v1::TaskFailure& proto);

inline constexpr int kMaxStepBytes = 256;
inline constexpr int kMaxTaskIdBytes = 128;

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_TASK_H_
