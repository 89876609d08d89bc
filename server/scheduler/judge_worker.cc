// Whether a task or its worker is at fault, and what follows for the worker.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {
namespace {

bool HasProgressed(const JobSnapshot& job) { return job.status.published_layers + job.status.committed_tasks > 0; }

// With one more; the latest of each worker and kind is kept.
std::vector<FailedAttempt> WithAttempt(std::vector<FailedAttempt> attempts, const FailedAttempt& attempt) {
  std::erase_if(attempts, [&](const FailedAttempt& one) {
    return one.worker_name == attempt.worker_name && one.failure_class == attempt.failure_class &&
           one.lost == attempt.lost;
  });
  if (attempts.size() == kMaxFailedAttempts) attempts.erase(attempts.begin());
  attempts.push_back(attempt);
  return attempts;
}

bool SpeaksAgainstWorker(const FailedAttempt& attempt) {
  return attempt.lost || SpeaksAgainstWorker(attempt.failure_class);
}

}  // namespace

Scheduler::Verdict Scheduler::JudgeFailedAttempt(const FoundTask& found, const FailedAttempt& attempt,
                                                 TaskTrigger within_budget, TrustStep& trust, Instant now) const {
  const Task& task = *found.task;
  const std::string& worker = attempt.worker_name;
  if (SpeaksAgainstWorker(attempt)) {
    trust.AddFailure(worker, task.description.task_id, attempt.failure_class);
    JudgeWorker(worker, *found.job, JobProgress::kAsBefore, trust, now);
  }
  Verdict verdict = {within_budget, task.status.failures, WithAttempt(task.status.failed_attempts, attempt)};
  const bool trusted = trust.TrustOf(worker) == WorkerTrust::kTrusted;
  if (SpeaksAgainstWorker(attempt) && !trusted) {  // it says nothing about the task
    verdict.trigger = options_.retry.JudgeFailure(FailureClass::kInfra, verdict.counts);
  } else if (within_budget == TaskTrigger::kExpire) {
    verdict.trigger = options_.retry.JudgeLostLease(verdict.counts);
  } else if (within_budget == TaskTrigger::kStall) {
    verdict.trigger = options_.retry.JudgeStall(verdict.counts);
  } else {
    verdict.trigger = options_.retry.JudgeFailure(attempt.failure_class, verdict.counts);
  }
  std::vector<FailedAttempt> credible = verdict.attempts;
  std::erase_if(credible, [&](const FailedAttempt& one) {
    return one.refuted || one.outlived || trust.TrustOf(one.worker_name) != WorkerTrust::kTrusted;
  });
  if (verdict.trigger == TaskTrigger::kRetry) verdict.trigger = within_budget;
  if (verdict.trigger == within_budget && options_.retry.IsPoison(verdict.counts, credible)) {
    verdict.trigger = TaskTrigger::kPoison;
  }
  return verdict;
}

std::vector<FailedAttempt> Scheduler::NoteSuccess(const FoundTask& found, TrustStep& trust, Instant now) const {
  const TaskStatus& status = found.task->status;
  const JobSnapshot& job = *found.job;
  trust.AddSuccess(status.worker_name);
  std::vector<FailedAttempt> attempts = status.failed_attempts;
  std::erase_if(attempts, [&](const FailedAttempt& one) { return one.worker_name == status.worker_name; });
  for (FailedAttempt& attempt : attempts) {
    if (attempt.refuted) continue;
    attempt.refuted = true;
    if (!SpeaksAgainstWorker(attempt)) continue;
    trust.Refute(attempt.worker_name, found.task->description.task_id);
    JudgeWorker(attempt.worker_name, job, JobProgress::kInThisStep, trust, now);
  }
  if (HasProgressed(job)) return attempts;
  // The job can be worked on, it turns out: what was failed in it before counts from now on.
  for (const auto& [name, standing] : standings_) {
    const std::vector<WorkerFailure>& failures = standing.record.failures;
    const bool of_job = std::any_of(failures.begin(), failures.end(), [&](const WorkerFailure& failure) {
      return JobIdOf(failure.task_id) == job.description.job_id;
    });
    if (of_job) JudgeWorker(name, job, JobProgress::kInThisStep, trust, now);
  }
  return attempts;
}

void Scheduler::JudgeWorker(const std::string& name, const JobSnapshot& job, JobProgress progress, TrustStep& trust,
                            Instant now) const {
  const WorkerRecord* record = trust.Find(name);
  if (record == nullptr || trust.TrustOf(name) != WorkerTrust::kTrusted) return;
  const int refuted = RefutedFailures(*record, now.wall);
  const int in_a_row = FailedInARow(*record, now.wall, [&](std::string_view task_id) {
    const JobSnapshot* other = FindJob(JobIdOf(task_id));
    return other != nullptr && !IsTerminal(other->status.state) &&
           (HasProgressed(*other) || (other == &job && progress == JobProgress::kInThisStep));
  });
  if (std::max(refuted, in_a_row) < options_.trust.max_failed_tasks) return;
  const std::string& numerics_class = job.status.numerics_class;
  const Fleet fleet = FleetOf(numerics_class, name, trust);
  if (fleet.present < 2) return;
  const std::string reason =
      refuted >= options_.trust.max_failed_tasks
          ? absl::StrCat("failed ", refuted, " tasks within an hour that others got further with")
          : absl::StrCat("failed ", in_a_row, " tasks in a row");
  if (fleet.quarantined < QuarantineAllowance(fleet.present)) {
    trust.Quarantine(name, options_.trust, reason);
  } else {
    trust.Suspect(name, reason);
  }
}

// There is room in quarantine again, or the fleet has grown.
std::optional<Decision> Scheduler::QuarantineASuspect(Instant now) const {
  for (const auto& [name, standing] : standings_) {
    if (standing.record.trust != WorkerTrust::kSuspect) continue;
    const std::optional<std::string> numerics_class = ClassOf(name);
    if (!numerics_class) continue;
    TrustStep trust(standings_, now);
    const Fleet fleet = FleetOf(*numerics_class, name, trust);
    if (fleet.quarantined >= QuarantineAllowance(fleet.present)) continue;
    trust.Quarantine(name, options_.trust, standing.record.reason);
    Decision decision;
    decision.transition.workers = trust.Finish();
    return decision;
  }
  return std::nullopt;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const ReleaseWorker& event, Instant now) const {
  Decision decision;
  if (TrustOf(standings_, event.name, now.monotonic) == WorkerTrust::kTrusted) {
    decision.outcome = Outcome::kNothing;
    return decision;
  }
  TrustStep trust(standings_, now);
  trust.Clear(event.name);
  decision.transition.workers = trust.Finish();
  return decision;
}

bool Scheduler::IsGivenWork(const RegisterWorker& worker, Instant now) const {
  const auto standing = standings_.find(worker.worker.name);
  const WorkerTrust trust =
      standing == standings_.end() ? WorkerTrust::kTrusted : TrustAt(standing->second, now.monotonic);
  switch (trust) {
    case WorkerTrust::kQuarantined: return false;
    case WorkerTrust::kSuspect: return now.monotonic >= standing->second.next_probe;
    case WorkerTrust::kTrusted: break;
  }
  if (IsStopped(worker.numerics_class)) return false;
  // Nobody knows yet whether it or its tasks are at fault; it need not try them all.
  const auto is_better = [&](const std::string& name) { return !HasFailedInARow(name, now.wall); };
  return is_better(worker.worker.name) ||
         !AnotherWorkerOf(worker.numerics_class, worker.worker, now.monotonic, is_better);
}

bool Scheduler::HasToRestart(const WorkerKey& worker) const {
  const auto presence = workers_.find(worker);
  return presence != workers_.end() && NeedsReboot(presence->second.registration.devices);
}

bool Scheduler::HasFailedInARow(const std::string& name, WallTime now) const {
  const auto standing = standings_.find(name);
  return standing != standings_.end() && FailedInARow(standing->second.record, now, [](std::string_view) {
                                           return true;
                                         }) >= options_.trust.max_failed_tasks;
}

bool Scheduler::AnotherWorkerOf(const std::string& numerics_class, const WorkerKey& identity, MonotonicTime now,
                                absl::FunctionRef<bool(const std::string& name)> condition) const {
  if (IsStopped(numerics_class)) return false;
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return entry.first.name != identity.name && entry.second.registration.numerics_class == numerics_class &&
           now - entry.second.last_call <= options_.lease_ttl &&
           AnyMayTakeTask(entry.second.registration.devices, entry.second.registration.slots) &&
           TrustOf(standings_, entry.first.name, now) == WorkerTrust::kTrusted && condition(entry.first.name);
  });
}

Scheduler::Fleet Scheduler::FleetOf(const std::string& numerics_class, const std::string& name,
                                    const TrustStep& trust) const {
  std::set<std::string_view> present = {name};
  for (const auto& [key, presence] : workers_) {
    if (presence.registration.numerics_class == numerics_class) present.insert(key.name);
  }
  // One step may judge several workers, also some that have gone; all of them have worked for one job.
  for (const auto& [changed, record] : trust.changed()) {
    if (record.trust == WorkerTrust::kQuarantined) present.insert(changed);
  }
  Fleet fleet;
  fleet.present = static_cast<int>(present.size());
  for (std::string_view one : present) fleet.quarantined += trust.TrustOf(one) == WorkerTrust::kQuarantined ? 1 : 0;
  return fleet;
}

std::optional<std::string> Scheduler::ClassOf(std::string_view name) const {
  const auto worker = workers_.lower_bound({std::string(name), ""});
  if (worker == workers_.end() || worker->first.name != name) return std::nullopt;
  return worker->second.registration.numerics_class;
}

bool Scheduler::IsStopped(const std::string& numerics_class) const {
  return std::any_of(standings_.begin(), standings_.end(), [&](const auto& entry) {
    return entry.second.record.trust == WorkerTrust::kSuspect && ClassOf(entry.first) == numerics_class;
  });
}

std::set<std::string> Scheduler::StoppedClasses() const {
  std::set<std::string> classes;
  for (const auto& [name, standing] : standings_) {
    if (standing.record.trust != WorkerTrust::kSuspect) continue;
    if (const auto numerics_class = ClassOf(name)) classes.insert(*numerics_class);
  }
  return classes;
}

}  // namespace gptvq
