// Who holds what: registration, polls, heartbeats, and leases that run out.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/job_step.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

absl::StatusOr<Decision> Scheduler::DecideOn(const RegisterWorker& event, Instant) const {
  if (!workers_.contains(event.worker) && static_cast<int>(workers_.size()) >= options_.max_workers) {
    return Refuse(ErrorReason::kTooManyWorkers, absl::StrCat("more than ", options_.max_workers, " workers"));
  }
  Decision decision;
  decision.registered = event;
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const PollTask& event, Instant now) const {
  const auto worker = workers_.find(event.worker);
  if (worker == workers_.end()) {
    return Refuse(ErrorReason::kWorkerUnknown,
                  absl::StrCat("worker ", event.worker.name, " is not registered with this incarnation"));
  }
  Decision decision;
  decision.caller = event.worker;

  // The answer to this very poll may have been lost.
  for (const auto& [key, lease] : held_) {
    const Task& task = jobs_.at(key.sequence).tasks[key.index];
    if (task.status.worker_name != event.worker.name || task.status.incarnation != event.worker.incarnation ||
        task.status.poll_id != event.poll_id || task.status.state != TaskState::kLeased) {
      continue;
    }
    decision.outcome = Outcome::kRepeated;
    decision.task_id = task.description.task_id;
    decision.key = key;
    decision.lease = lease;
    decision.lease->expiry = now.monotonic + options_.lease_ttl;
    return decision;
  }

  const auto ready = std::find_if(ready_.begin(), ready_.end(), [&](const auto& entry) {
    return MayTake(worker->second, event.worker, entry.first, entry.second, now.monotonic);
  });
  if (ready == ready_.end()) {
    decision.outcome = Outcome::kNothing;
    return decision;
  }
  const TaskKey key = ready->first;
  const JobSnapshot& job = jobs_.at(key.sequence);
  JobStep step(job, now.wall);
  step.GrantTask(key.index, event.worker, event.poll_id);
  if (job.status.numerics_class.empty()) step.PinNumericsClass(worker->second.registration.numerics_class);
  decision.task_id = job.tasks[key.index].description.task_id;
  decision.key = key;
  decision.transition = step.Finish();
  decision.lease = HeldLease{now.monotonic + options_.lease_ttl, {}, now.monotonic};
  return decision;
}

bool Scheduler::MayTake(const WorkerPresence& worker, const WorkerKey& identity, TaskKey key, const Rest& rest,
                        MonotonicTime now) const {
  if (now < rest.until) return false;
  const std::string& own_class = worker.registration.numerics_class;
  const std::string& pinned = jobs_.at(key.sequence).status.numerics_class;
  if (!pinned.empty() && pinned != own_class) return false;
  return rest.failed_on != identity || now >= rest.until + options_.avoid_for ||
         !AnotherWorkerOf(own_class, identity, now);
}

bool Scheduler::AnotherWorkerOf(const std::string& numerics_class, const WorkerKey& identity, MonotonicTime now) const {
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return entry.first.name != identity.name && entry.second.registration.numerics_class == numerics_class &&
           now - entry.second.last_call <= options_.lease_ttl;
  });
}

absl::StatusOr<Decision> Scheduler::DecideOn(const RenewLease& event, Instant now) const {
  GPTVQ_RETURN_IF_ERROR(CheckHolder(event.lease));
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindTask(event.lease.task_id));
  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = WorkerKey{event.lease.worker_name, event.lease.incarnation};
  if (found.task->status.state == TaskState::kCancelling) decision.outcome = Outcome::kCancelRequested;

  HeldLease lease = held_.at(found.key);
  lease.expiry = std::max(lease.expiry, now.monotonic + options_.lease_ttl);
  // A counter that falls is a late or confused message; the newer report stays.
  if (event.progress.counter > lease.progress.counter) {
    lease.progress = event.progress;
    lease.progress_time = now.monotonic;
  }
  decision.lease = lease;
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const Tick&, Instant now) const {
  Decision decision;
  const auto overdue = std::find_if(held_.begin(), held_.end(), [&](const auto& entry) {
    const bool stalled = now.monotonic - entry.second.progress_time > options_.stall_after;
    return now.monotonic >= entry.second.expiry ||
           (stalled && jobs_.at(entry.first.sequence).tasks[entry.first.index].status.state == TaskState::kLeased);
  });
  if (overdue == held_.end()) {
    decision.outcome = Outcome::kNothing;
    return decision;
  }
  const TaskKey key = overdue->first;
  const JobSnapshot& job = jobs_.at(key.sequence);
  const Task& task = job.tasks[key.index];
  const bool silent = now.monotonic >= overdue->second.expiry;
  decision.task_id = task.description.task_id;
  decision.key = key;

  JobStep step(job, now.wall);
  if (task.status.state == TaskState::kCancelling) {
    step.MoveTask(key.index, TaskTrigger::kExpire);
  } else {
    FailureCounts failures = task.status.failures;
    const TaskTrigger trigger = silent ? options_.retry.JudgeLostLease(failures) : options_.retry.JudgeStall(failures);
    const FailureClass failure_class = silent ? FailureClass::kInfra : FailureClass::kTransient;
    const std::string message = silent ? absl::StrCat("worker ", task.status.worker_name, " was silent for ",
                                                      options_.lease_ttl.count(), " ms and lost its lease")
                                       : absl::StrCat("worker ", task.status.worker_name, " made no progress for ",
                                                      options_.stall_after.count(), " ms");
    TaskStatus& status =
        step.MoveTask(key.index, trigger, TaskFailure{failure_class, message, task.status.worker_name});
    status.failures = failures;
    decision.rest = Rest{now.monotonic, {task.status.worker_name, task.status.incarnation}};
  }
  decision.transition = step.Finish();
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const ForgiveSilence&, Instant now) const {
  Decision decision;
  decision.earliest_expiry = now.monotonic + options_.lease_ttl;
  return decision;
}

}  // namespace gptvq
