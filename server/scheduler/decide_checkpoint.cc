// What a holder keeps of the layer that it works on, for whoever works on it next.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/held_work.h"
#include "server/scheduler/job_step.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/task_inputs.h"

namespace gptvq {
namespace {

absl::Status CheckLayer(const JobSnapshot& job, const Task& task, int layer) {
  const TaskDescription& description = task.description;
  if (GrantedKind(job, description) != TaskKind::kQuantize || layer < description.layers.begin ||
      layer >= description.layers.end) {
    return Refuse(ErrorReason::kInvalidField,
                  absl::StrCat("checkpoint.layer: ", layer, " is not a layer of task ", description.task_id));
  }
  const int next = NextLayer(job, task);
  if (layer == next) return absl::OkStatus();
  const bool published = layer < next || HasLayer(job, task, layer);
  return Refuse(published ? ErrorReason::kCheckpointOutdated : ErrorReason::kLayerOutOfOrder,
                published ? absl::StrCat("layer ", layer, " is published")
                          : absl::StrCat("a checkpoint of layer ", layer, " before layer ", next, " is published"));
}

// Linears that were lost, with a checkpoint or with their layer, and computed again are none.
bool IsProgress(const JobSnapshot& job, const TaskStatus& status, const TaskCheckpoint& checkpoint) {
  return job.layers[checkpoint.layer] == Digest() && static_cast<int>(checkpoint.linears.size()) > status.most_linears;
}

}  // namespace

absl::StatusOr<Decision> Scheduler::DecideOn(const CheckpointTask& event, Instant now) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(event.lease));
  const Task& task = *found.task;
  const TaskCheckpoint& checkpoint = event.checkpoint;
  if (task.status.state == TaskState::kCancelling) return JobCancelled(*found.job);
  if (task.status.state != TaskState::kLeased) return NotHeld(task);
  GPTVQ_RETURN_IF_ERROR(CheckTrusted(event.lease, now));
  GPTVQ_RETURN_IF_ERROR(CheckLayer(*found.job, task, checkpoint.layer));

  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = HolderOf(event.lease);
  if (AuditedBy(task.description)) {  // nobody goes on with it: an answer is of one worker alone
    decision.lease = ExtendedLease(found.key, now);
    return decision;
  }
  const std::optional<TaskCheckpoint>& kept = task.status.checkpoint;
  const bool is_kept = kept && kept->layer == checkpoint.layer;
  if (is_kept && kept->sequence == checkpoint.sequence && kept->artifact == checkpoint.artifact) {
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  if (is_kept && kept->sequence >= checkpoint.sequence) {
    return Refuse(ErrorReason::kCheckpointOutdated,
                  absl::StrCat("checkpoint ", checkpoint.sequence, " of layer ", checkpoint.layer, " comes after ",
                               kept->sequence, " is kept"));
  }
  JobStep step(*found.job, now.wall);
  TrustStep trust(standings_, now);
  TaskStatus& status = step.MoveTask(found.key.index, TaskTrigger::kCheckpoint);
  if (IsProgress(*found.job, status, checkpoint)) {
    // Whoever failed it before may have been further than this, without a chance to keep it: nothing is refuted.
    status.failures = {};
    for (FailedAttempt& attempt : status.failed_attempts) attempt.outlived = true;
    trust.AddSuccess(event.lease.worker_name);
    status.most_linears = static_cast<int>(checkpoint.linears.size());
  }
  status.checkpoint = checkpoint;
  // What was lost comes out as before, or is refused.
  const bool is_first = found.job->layers[checkpoint.layer] == Digest();
  if (is_first) NotePart(status.audit.authors, checkpoint.layer, event.lease.worker_name);
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  decision.lease = ExtendedLease(found.key, now);
  return decision;
}

}  // namespace gptvq
