#include "server/scheduler/held_work.h"

#include "absl/strings/str_cat.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/task_inputs.h"

namespace gptvq {

WorkerKey HolderOf(const Lease& lease) { return {lease.worker_name, lease.incarnation}; }

TaskKind GrantedKind(const JobSnapshot& job, const TaskDescription& task) {
  const std::optional<int> audited = AuditedBy(task);
  return audited ? job.tasks[*audited].description.kind : task.kind;
}

int NextLayer(const JobSnapshot& job, const Task& task) {
  int layer = task.description.layers.begin;
  if (AuditedBy(task.description)) return layer + static_cast<int>(task.status.audit.layers.size());
  while (layer < task.description.layers.end && HasLayer(job, task, layer)) ++layer;
  return layer;
}

absl::Status NotHeld(const Task& task) {
  return Refuse(ErrorReason::kNotHeld, absl::StrCat("task ", task.description.task_id, " is ",
                                                    std::string(Name(task.status.state)), ", not held by anybody"));
}

absl::Status JobCancelled(const JobSnapshot& job) {
  return Refuse(ErrorReason::kJobCancelled, absl::StrCat("job ", job.description.job_id, " is ",
                                                         std::string(Name(job.status.state)), "; release the task"));
}

}  // namespace gptvq
