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
  decision.devices = event.devices;

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

  const std::vector<DeviceHealth>& devices =
      event.devices.empty() ? worker->second.registration.devices : event.devices;
  if (!MayTakeTask(devices, event.slot) || !IsGivenWork(worker->second.registration, now)) {
    decision.outcome = Outcome::kNothing;
    return decision;
  }
  const auto ready = std::find_if(ready_.begin(), ready_.end(), [&](const auto& entry) {
    return MayTake(worker->second, event.worker, entry.first, entry.second, now);
  });
  if (ready == ready_.end()) {
    decision.outcome = Outcome::kNothing;
    return decision;
  }
  const TaskKey key = ready->first;
  const JobSnapshot& job = jobs_.at(key.sequence);
  JobStep step(job, now.wall);
  step.GrantTask(key.index, generation_, event.worker, event.poll_id);
  if (job.status.numerics_class.empty()) step.PinNumericsClass(worker->second.registration.numerics_class);
  decision.task_id = job.tasks[key.index].description.task_id;
  decision.key = key;
  decision.transition = step.Finish();
  decision.lease = HeldLease{now.monotonic + options_.lease_ttl, {}, now.monotonic};
  if (TrustOf(standings_, event.worker.name, now.monotonic) == WorkerTrust::kSuspect) {
    decision.probed = event.worker.name;
  }
  return decision;
}

bool Scheduler::MayTake(const WorkerPresence& worker, const WorkerKey& identity, TaskKey key, const Rest& rest,
                        Instant instant) const {
  const MonotonicTime now = instant.monotonic;
  if (now < rest.until) return false;
  const std::string& own_class = worker.registration.numerics_class;
  const std::string& pinned = jobs_.at(key.sequence).status.numerics_class;
  if (!pinned.empty() && pinned != own_class) return false;
  const auto failed = [&](const std::string& name) {
    const auto& attempts = jobs_.at(key.sequence).tasks[key.index].status.failed_attempts;
    return std::any_of(attempts.begin(), attempts.end(),
                       [&](const FailedAttempt& attempt) { return attempt.worker_name == name; });
  };
  const JobSnapshot& job = jobs_.at(key.sequence);
  const Task& task = job.tasks[key.index];
  const bool is_audit = AuditedBy(task.description).has_value();
  const auto may_have = [&](const std::string& name) { return !is_audit || MayAudit(job, task, name); };
  if (!may_have(identity.name)) return false;
  if (task.description.kind == TaskKind::kFinalize && IsSortingOut()) return false;
  const auto is_better = [&](const std::string& name) {
    return !failed(name) && !HasFailedInARow(name, instant.wall) && may_have(name);
  };
  if (failed(identity.name) && AnotherWorkerOf(own_class, identity, now, is_better)) return false;
  return rest.failed_on != identity || now >= rest.until + options_.avoid_for ||
         !AnotherWorkerOf(own_class, identity, now, may_have);
}

absl::StatusOr<Decision> Scheduler::DecideOn(const RenewLease& event, Instant now) const {
  GPTVQ_RETURN_IF_ERROR(CheckHolder(event.lease));
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindTask(event.lease.task_id));
  Decision decision;
  decision.task_id = event.lease.task_id;
  decision.key = found.key;
  decision.caller = WorkerKey{event.lease.worker_name, event.lease.incarnation};
  decision.devices = event.devices;
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
  if (auto decision = QuarantineASuspect(now)) return *std::move(decision);
  if (auto decision = RevokeALease(now)) return *std::move(decision);
  if (auto decision = TakeAnOverdueLease(now)) return *std::move(decision);
  if (auto decision = OverturnDistrustedWork(now)) return *std::move(decision);
  if (auto decision = SettleAnAudit(now)) return *std::move(decision);
  Decision decision;
  decision.outcome = Outcome::kNothing;
  return decision;
}

// A worker in quarantine keeps nothing, nor does one whose host has to be restarted. Nobody is blamed for it a second time.
std::optional<Decision> Scheduler::RevokeALease(Instant now) const {
  const auto revoked = std::find_if(held_.begin(), held_.end(), [&](const auto& entry) {
    const TaskStatus& status = jobs_.at(entry.first.sequence).tasks[entry.first.index].status;
    return TrustOf(standings_, status.worker_name, now.monotonic) == WorkerTrust::kQuarantined ||
           HasToRestart({status.worker_name, status.incarnation});
  });
  if (revoked == held_.end()) return std::nullopt;
  const TaskKey key = revoked->first;
  const JobSnapshot& job = jobs_.at(key.sequence);
  Decision decision;
  decision.task_id = job.tasks[key.index].description.task_id;
  decision.key = key;
  JobStep step(job, now.wall);
  step.MoveTask(key.index, TaskTrigger::kRevoke);
  decision.transition = step.Finish();
  return decision;
}

std::optional<Decision> Scheduler::TakeAnOverdueLease(Instant now) const {
  const auto overdue = std::find_if(held_.begin(), held_.end(), [&](const auto& entry) {
    const bool stalled = now.monotonic - entry.second.progress_time > options_.stall_after;
    return now.monotonic >= entry.second.expiry ||
           (stalled && jobs_.at(entry.first.sequence).tasks[entry.first.index].status.state == TaskState::kLeased);
  });
  if (overdue == held_.end()) return std::nullopt;
  const TaskKey key = overdue->first;
  const JobSnapshot& job = jobs_.at(key.sequence);
  const Task& task = job.tasks[key.index];
  const bool silent = now.monotonic >= overdue->second.expiry;
  Decision decision;
  decision.task_id = task.description.task_id;
  decision.key = key;

  JobStep step(job, now.wall);
  TrustStep trust(standings_, now);
  if (task.status.state == TaskState::kCancelling) {
    step.MoveTask(key.index, TaskTrigger::kExpire);
  } else {
    const std::string& worker = task.status.worker_name;
    const FailureClass failure_class = silent ? FailureClass::kInfra : FailureClass::kTransient;
    const std::string message =
        silent
            ? absl::StrCat("worker ", worker, " was silent for ", options_.lease_ttl.count(), " ms and lost its lease")
            : absl::StrCat("worker ", worker, " made no progress for ", options_.stall_after.count(), " ms");
    Verdict verdict = JudgeFailedAttempt({&job, &task, key}, {worker, failure_class, silent, false},
                                         silent ? TaskTrigger::kExpire : TaskTrigger::kStall, trust, now);
    verdict.trigger = EndOfFailedTask(task, verdict.trigger);
    TaskStatus& status =
        step.MoveTask(key.index, verdict.trigger, TaskFailure{failure_class, message, task.status.worker_name});
    NoteGivenUp(status, decision.findings);
    status.failures = verdict.counts;
    status.failed_attempts = std::move(verdict.attempts);
    decision.rest = Rest{now.monotonic, {task.status.worker_name, task.status.incarnation}};
  }
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const ForgiveSilence&, Instant now) const {
  Decision decision;
  decision.earliest_expiry = now.monotonic + options_.lease_ttl;
  return decision;
}

}  // namespace gptvq
