// What the checker knows of failures, rests and leases that end.

#include <algorithm>

#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

// The lease that an event presents, if it presents one.
const Lease* LeaseOf(const Event& event) {
  return std::visit(
      [](const auto& one) -> const Lease* {
        if constexpr (requires { one.lease; }) {
          return &one.lease;
        } else {
          return nullptr;
        }
      },
      event);
}

bool IsAbout(const Lease* lease, const Task& task) {
  return lease != nullptr && lease->task_id == task.description.task_id;
}

}  // namespace

void SimChecker::CheckHolder(const Task& before, const TaskStatus& after, const Watch& watch) {
  const std::string& id = before.description.task_id;
  if (!IsHeld(before.status.state)) return;
  if (std::holds_alternative<Tick>(*event_)) {
    if (after.state == TaskState::kCancelling) return;  // another task was reaped, and its job fails
    const bool stalled =
        before.status.state == TaskState::kLeased && now() - watch.last_progress > options_.stall_after;
    Require(Invariant::kHolderExtends, IsSilent(watch) || stalled || attempt_.revoked, id,
            " was taken from a living holder");
    return;
  }
  if (after.state == TaskState::kCancelling) return;  // its job ends
  const Lease* lease = LeaseOf(*event_);
  Require(Invariant::kHolderChanges,
          IsAbout(lease, before) && lease->epoch == before.status.epoch &&
              lease->worker_name == before.status.worker_name && lease->incarnation == before.status.incarnation,
          id, " was changed by somebody who does not hold it");
}

FailureCounts SimChecker::ExpectedCounts(const Task& before) const {
  FailureCounts counts = before.status.failures;
  if (before.status.state == TaskState::kCommitted) return {};
  if (before.status.state != TaskState::kLeased) return counts;
  const std::optional<Trial> trial = attempt_.index == before.description.index ? attempt_.trial : std::nullopt;
  if (trial && SpeaksAgainstWorker(*trial) && TrustOf(trial->worker) != WorkerTrust::kTrusted) {
    ++counts.uncounted;
    return counts;
  }
  if (trial && std::holds_alternative<Tick>(*event_)) ++(trial->lost ? counts.lost : counts.transient);
  if (!IsAbout(LeaseOf(*event_), before)) return counts;
  if (const auto* publish = std::get_if<PublishLayer>(event_)) {
    const auto& lost = before.status.repair.lost_layers;
    const bool again = std::find(lost.begin(), lost.end(), publish->layer.layer) != lost.end();
    return again ? counts : FailureCounts();
  }
  if (attempt_.kept_more) return {};
  if (IsAwaited(before)) return counts;
  if (const auto* fail = std::get_if<FailTask>(event_)) {
    switch (fail->failure.failure_class) {
      case FailureClass::kInfra:
      case FailureClass::kDevice: ++counts.uncounted; break;
      case FailureClass::kTransient: ++counts.transient; break;
      case FailureClass::kBug: ++counts.bug; break;
      case FailureClass::kInput:
      case FailureClass::kFatal: break;
    }
  }
  return counts;
}

void SimChecker::CheckFailures(const Task& before, const TaskStatus& after, const Watch& watch) {
  const std::string& id = before.description.task_id;
  const bool job_ended =
      after.state == TaskState::kCancelling || (after.state == TaskState::kCancelled && !IsHeld(before.status.state));
  const FailureCounts expected = job_ended ? before.status.failures : ExpectedCounts(before);
  Require(Invariant::kFailureCounts, after.failures == expected, id, " counts its failures wrongly");
  const bool moved_on =
      after.state == TaskState::kReady || after.state == TaskState::kBlocked || after.state == TaskState::kFailed;
  if (before.status.state != TaskState::kLeased || !moved_on) return;
  const RetryPolicy& policy = options_.retry;
  const bool spent = (attempt_.trial && IsPoison(watch, expected)) || expected.lost > policy.max_lost ||
                     expected.transient > policy.max_transient || expected.bug > policy.max_bug ||
                     expected.uncounted > policy.max_uncounted ||
                     (IsAwaited(before) && before.status.repair.missing_inputs >= policy.max_missing);
  const auto* fail = std::get_if<FailTask>(event_);
  if (AuditedBy(before.description) && std::holds_alternative<CompleteTask>(*event_)) return;  // CheckAudit
  const bool hopeless =
      fail != nullptr && !IsAwaited(before) &&
      (fail->failure.failure_class == FailureClass::kFatal || fail->failure.failure_class == FailureClass::kInput);
  Require(Invariant::kRetryBudget, (after.state == TaskState::kFailed) == (spent || hopeless), id,
          " is tried again beyond its budget, or not within it");
}

void SimChecker::CheckRest(const Watch& watch, const Known& known, const Task& task, const TaskStatus& after) {
  const std::string& task_id = task.description.task_id;
  Require(Invariant::kRetryBudget, now() >= watch.rest_until, task_id, " was granted before its rest was over");
  const WorkerKey holder = {after.worker_name, after.incarnation};
  const std::string& numerics_class =
      known.job.status.numerics_class.empty() ? class_of_[holder] : known.job.status.numerics_class;
  const auto anybody = [&](const std::string& name) { return MayHave(known, task, name); };
  Require(Invariant::kRetryBudget,
          watch.failed_on != holder || now() >= watch.avoid_until ||
              !HasAnotherWorker(numerics_class, holder.name, anybody),
          task_id, " was granted again to the worker that it just failed on");
  Require(Invariant::kRetryBudget, MayBeGranted(watch, known, task, numerics_class, holder.name), task_id,
          " was granted again to a worker that it failed on");
}

bool SimChecker::MayBeGranted(const Watch& watch, const Known& known, const Task& task,
                              const std::string& numerics_class, const std::string& name) const {
  const auto has_not_failed = [&](const std::string& one) {
    return std::none_of(watch.trials.begin(), watch.trials.end(),
                        [&](const Trial& trial) { return trial.worker == one; });
  };
  const auto is_better = [&](const std::string& one) {
    return has_not_failed(one) && MayHave(known, task, one) &&
           FailedTasks(one, [](const Blame& blame) { return blame.in_a_row; }) < 3;
  };
  return has_not_failed(name) || !HasAnotherWorker(numerics_class, name, is_better);
}

// Whether the coordinator may keep a task from this worker for the sake of another, as far as anybody but it can know.
bool SimChecker::MayBeKeptFrom(const Watch& watch, const std::string& name) const {
  const auto failed_on = [&](const std::string& one) {
    return std::any_of(watch.trials.begin(), watch.trials.end(),
                       [&](const Trial& trial) { return trial.worker == one; });
  };
  return failed_on(name) && MayHaveAnotherWorker(name, [&](const std::string& one) { return !failed_on(one); });
}

// One that is given work. Where somebody is suspect nobody else is.
bool SimChecker::HasAnotherWorker(const std::string& numerics_class, const std::string& name,
                                  const std::function<bool(const std::string&)>& condition) const {
  if (MayBeStopped(numerics_class)) return false;
  return std::any_of(last_call_.begin(), last_call_.end(), [&](const auto& entry) {
    return entry.first.name != name && class_of_.at(entry.first) == numerics_class &&
           now() - entry.second <= options_.lease_ttl && IsSurelyUsable(entry.first) &&
           TrustOf(entry.first.name) == WorkerTrust::kTrusted && condition(entry.first.name);
  });
}

bool SimChecker::MayHaveAnotherWorker(const std::string& name,
                                      const std::function<bool(const std::string&)>& condition) const {
  return std::any_of(last_sign_.begin(), last_sign_.end(), [&](const auto& entry) {
    return entry.first.name != name && ClassOf(entry.first.name) == ClassOf(name) &&
           now() - entry.second <= options_.lease_ttl && MayBeUsable(entry.first) &&
           TrustOf(entry.first.name) == WorkerTrust::kTrusted && condition(entry.first.name);
  });
}

// docs/protocol.md, "Failures and retries": three workers that fail a task alike show that it is the task.
bool SimChecker::IsPoison(const Watch& watch, const FailureCounts& counts) const {
  const Trial& latest = *attempt_.trial;
  std::set<std::string> lost, transient, bug;
  std::vector<Trial> trials = watch.trials;
  trials.push_back(latest);
  for (const Trial& trial : trials) {
    const bool again = trial.worker == latest.worker && trial.failure_class == latest.failure_class &&
                       trial.lost == latest.lost;  // what was refuted or outlived holds again
    if (((trial.refuted || trial.outlived) && !again) || TrustOf(trial.worker) != WorkerTrust::kTrusted) continue;
    if (trial.lost) {
      lost.insert(trial.worker);
    } else if (trial.failure_class == FailureClass::kTransient) {
      transient.insert(trial.worker);
    } else if (trial.failure_class == FailureClass::kBug) {
      bug.insert(trial.worker);
    }
  }
  return transient.size() >= 3 || bug.size() >= 3 || (lost.size() >= 3 && counts.lost >= 5);
}

void SimChecker::NoteRest(const Task& before, const TaskStatus& after, const Transition& transition, Watch& watch) {
  if (after.state == TaskState::kLeased) {
    watch.last_sign = now();
    watch.last_progress = now();
    if (before.status.state != TaskState::kLeased) watch.progress_counter = 0;
  }
  if (after.state != TaskState::kReady) return;
  watch.ready_since = now();
  watch.rest_until = now();
  watch.failed_on = {};
  const bool reaped = std::holds_alternative<Tick>(*event_);
  if (attempt_.revoked) return;
  if (before.status.state != TaskState::kLeased || std::holds_alternative<ReleaseTask>(*event_)) return;
  if (IsAwaited(before) || std::holds_alternative<CompleteTask>(*event_)) return;
  if (HasTrigger(transition, before.description.task_id, TaskTrigger::kOverturn)) return;
  watch.failed_on = {before.status.worker_name, before.status.incarnation};
  if (!reaped) {
    // At least half of base x 2^(n-1), up to the cap: docs/protocol.md, "Failures and retries".
    const int doublings = std::min(after.failures.total() - 1, 20);
    const auto whole = std::min(options_.retry.backoff_cap, options_.retry.backoff_base * (1 << doublings));
    watch.rest_until += whole / 2;
  }
  watch.avoid_until = watch.rest_until + options_.avoid_for;
}

}  // namespace gptvq
