// What the holder of a task reports: layers, results, failures, and giving it back.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/held_work.h"
#include "server/scheduler/job_step.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {
namespace {

bool FitsKind(const TaskResult& result, TaskKind kind) {
  switch (kind) {
    case TaskKind::kCapture: return std::holds_alternative<CaptureResult>(result.outcome);
    case TaskKind::kQuantize: return std::holds_alternative<QuantizeResult>(result.outcome);
    case TaskKind::kFinalize: return std::holds_alternative<FinalizeResult>(result.outcome);
    case TaskKind::kAudit: return false;  // it is asked for the kind that is audited
    case TaskKind::kEvaluate: return std::holds_alternative<EvaluateResult>(result.outcome);
  }
  return false;
}

absl::Status CheckResult(const JobSnapshot& job, const Task& task, const TaskResult& result) {
  const TaskDescription& description = task.description;
  const TaskKind kind = GrantedKind(job, description);
  if (!FitsKind(result, kind)) {
    return Refuse(ErrorReason::kInvalidField,
                  absl::StrCat("result.outcome: not that of a ", std::string(Name(kind)), " task"));
  }
  const bool has_boundary = OutputBoundary(result).has_value();
  if (has_boundary != description.output_boundary_wanted) {
    return Refuse(ErrorReason::kInvalidField,
                  has_boundary ? "result: output_boundary was not wanted" : "result: output_boundary is required");
  }
  // It was committed before, and others may have read it.
  const std::optional<TaskResult>& before = task.status.result;
  if (before && !task.status.audit.may_differ && OutputBoundary(*before) != OutputBoundary(result)) {
    return Refuse(ErrorReason::kBoundaryConflict,
                  absl::StrCat("the boundary of task ", description.task_id, " was committed as ",
                               OutputBoundary(*before)->hex(), ", now comes ", OutputBoundary(result)->hex()));
  }
  if (kind == TaskKind::kQuantize && NextLayer(job, task) != description.layers.end) {
    return Refuse(ErrorReason::kOutputMissing,
                  absl::StrCat("layer ", NextLayer(job, task), " of task ", description.task_id, " is not published"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Decision> Scheduler::DecideOn(const PublishLayer& event, Instant now) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(event.lease));
  const JobSnapshot& job = *found.job;
  const Task& task = *found.task;
  const LayerRange range = task.description.layers;
  const int layer = event.layer.layer;
  const TaskKind kind = GrantedKind(job, task.description);
  if (kind != TaskKind::kQuantize || layer < range.begin || layer >= range.end) {
    return Refuse(ErrorReason::kInvalidField,
                  absl::StrCat("layer: ", layer, " is not a layer of task ", task.description.task_id));
  }
  if (task.status.state == TaskState::kCancelling) return JobCancelled(job);
  if (task.status.state != TaskState::kLeased) return NotHeld(task);
  GPTVQ_RETURN_IF_ERROR(CheckTrusted(event.lease, now));

  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = HolderOf(event.lease);
  if (AuditedBy(task.description)) return TakeAuditedLayer(found, event, std::move(decision), now);
  const bool is_first = job.layers[layer] == Digest();
  if (!is_first && job.layers[layer] != event.layer.artifact) {
    return Refuse(ErrorReason::kLayerConflict,
                  absl::StrCat("layer ", layer, " was published as ", job.layers[layer].hex(), ", now comes ",
                               event.layer.artifact.hex()));
  }
  if (HasLayer(job, task, layer)) {
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  if (layer != NextLayer(job, task)) {
    return Refuse(ErrorReason::kLayerOutOfOrder,
                  absl::StrCat("layer ", layer, " comes before layer ", NextLayer(job, task), " is published"));
  }
  JobStep step(job, now.wall);
  TrustStep trust(standings_, now);
  TaskStatus& status = step.MoveTask(found.key.index, TaskTrigger::kPublish);
  status.failed_attempts = NoteSuccess(found, trust, now);
  if (is_first) {
    ForgetCheckpoint(status);
    status.failures = {};  // durable progress: the failures before it say nothing about what comes next
    status.repair.missing_inputs = 0;
    step.AddLayer(found.key.index, event.layer);
    NotePublication(status.audit.authors, layer, event.lease.worker_name);
  } else {  // lost, and here again: no further than the task was before
    status.checkpoint.reset();
    std::erase(status.repair.lost_layers, layer);
  }
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  decision.lease = ExtendedLease(found.key, now);
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const CompleteTask& event, Instant now) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(event.lease));
  const Task& task = *found.task;
  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = HolderOf(event.lease);
  const bool committed = task.status.state == TaskState::kCommitted && task.status.result == event.result;
  if (committed || HasAnswered(found, event)) {
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  if (task.status.state == TaskState::kCancelling) return JobCancelled(*found.job);
  if (task.status.state != TaskState::kLeased) return NotHeld(task);
  GPTVQ_RETURN_IF_ERROR(CheckTrusted(event.lease, now));
  GPTVQ_RETURN_IF_ERROR(CheckResult(*found.job, task, event.result));

  JobStep step(*found.job, now.wall);
  TrustStep trust(standings_, now);
  std::vector<FailedAttempt> attempts = NoteSuccess(found, trust, now);
  if (AuditedBy(task.description)) {
    TakeAnswer(found, event, step, decision.findings, trust);
    step.MutableStatusOf(found.key.index).failed_attempts = std::move(attempts);
  } else {
    Commit(found, event, step);
    step.MutableStatusOf(found.key.index).failed_attempts = std::move(attempts);
    CompareWithBefore(found, step, decision.findings, trust);
  }
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  return decision;
}

void Scheduler::Commit(const FoundTask& found, const CompleteTask& event, JobStep& step) {
  const TaskDescription& description = found.task->description;
  const std::optional<TaskResult>& before = found.task->status.result;
  TaskStatus& status = step.MoveTask(found.key.index, TaskTrigger::kCommit);
  const bool another = !before || OutputBoundary(*before) != OutputBoundary(event.result);
  if (description.output_boundary_wanted && (another || status.audit.may_differ)) {
    NotePublication(status.audit.authors, description.layers.end, event.lease.worker_name);
  }
  status.result = event.result;
  status.repair = {};
  status.audit.may_differ = false;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const FailTask& event, Instant now) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(event.lease));
  const Task& task = *found.task;
  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = HolderOf(event.lease);
  if (!IsHeld(task.status.state)) {
    if (task.status.last_failure != event.failure) return NotHeld(task);
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  JobStep step(*found.job, now.wall);
  TrustStep trust(standings_, now);
  if (task.status.state == TaskState::kCancelling) {  // whatever it says, it ends
    step.MoveTask(found.key.index, TaskTrigger::kRetry, event.failure);
  } else if (const auto lost = InputsAmong(*found.job, task, event.lost); !lost.empty()) {
    AwaitRepair(found, event.failure, lost, step, decision.findings);
  } else {
    Verdict verdict = JudgeFailedAttempt(found, {event.lease.worker_name, event.failure.failure_class, false, false},
                                         TaskTrigger::kRetry, trust, now);
    verdict.trigger = EndOfFailedTask(task, verdict.trigger);
    TaskStatus& status = step.MoveTask(found.key.index, verdict.trigger, event.failure);
    NoteGivenUp(status, decision.findings);
    status.failures = verdict.counts;
    status.failed_attempts = std::move(verdict.attempts);
    decision.rest = RestAfterFailure(task, status, now.monotonic);
  }
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const ReleaseTask& event, Instant now) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(event.lease));
  const Task& task = *found.task;
  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = HolderOf(event.lease);
  if (!IsHeld(task.status.state)) {
    const TaskState state = task.status.state;
    const bool given_back =
        state == TaskState::kReady || state == TaskState::kBlocked || state == TaskState::kCancelled;
    if (!given_back) return NotHeld(task);
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  JobStep step(*found.job, now.wall);
  step.MoveTask(found.key.index, TaskTrigger::kRelease);
  decision.transition = step.Finish();
  return decision;
}

HeldLease Scheduler::ExtendedLease(TaskKey key, Instant now) const {
  HeldLease lease = held_.at(key);
  lease.expiry = std::max(lease.expiry, now.monotonic + options_.lease_ttl);
  lease.progress_time = now.monotonic;
  return lease;
}

// Between its quarantine, or what its device reported, and the next tick a worker still holds what it held.
absl::Status Scheduler::CheckTrusted(const Lease& lease, Instant now) const {
  const std::string& name = lease.worker_name;
  if (TrustOf(standings_, name, now.monotonic) == WorkerTrust::kQuarantined) {
    return Refuse(ErrorReason::kNotHeld, absl::StrCat("worker ", name, " is in quarantine and holds nothing"));
  }
  if (HasToRestart(HolderOf(lease))) {
    return Refuse(ErrorReason::kNotHeld, absl::StrCat("the host of worker ", name, " has to be restarted"));
  }
  return absl::OkStatus();
}

Rest Scheduler::RestAfterFailure(const Task& task, const TaskStatus& status, MonotonicTime now) const {
  const auto backoff =
      options_.retry.Backoff(status.failures.total(), options_.seed, task.description.task_id, status.epoch);
  return {now + backoff, {status.worker_name, status.incarnation}};
}

}  // namespace gptvq
