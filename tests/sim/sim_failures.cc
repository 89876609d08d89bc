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
    Require(Invariant::kHolderExtends, IsSilent(watch) || stalled, id, " was taken from a living holder");
    return;
  }
  if (after.state == TaskState::kCancelling) return;  // its job ends
  const Lease* lease = LeaseOf(*event_);
  Require(Invariant::kHolderChanges,
          IsAbout(lease, before) && lease->epoch == before.status.epoch &&
              lease->worker_name == before.status.worker_name && lease->incarnation == before.status.incarnation,
          id, " was changed by somebody who does not hold it");
}

FailureCounts SimChecker::ExpectedCounts(const Task& before, const Watch& watch) const {
  FailureCounts counts = before.status.failures;
  if (std::holds_alternative<Tick>(*event_) && before.status.state == TaskState::kLeased) {
    ++(IsSilent(watch) ? counts.lost : counts.transient);
  }
  if (!IsAbout(LeaseOf(*event_), before)) return counts;
  if (std::holds_alternative<PublishLayer>(*event_)) return {};
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
  const FailureCounts expected = job_ended ? before.status.failures : ExpectedCounts(before, watch);
  Require(Invariant::kFailureCounts, after.failures == expected, id, " counts its failures wrongly");
  const bool moved_on = after.state == TaskState::kReady || after.state == TaskState::kFailed;
  if (before.status.state != TaskState::kLeased || !moved_on) return;
  const RetryPolicy& policy = options_.retry;
  const bool spent = expected.lost > policy.max_lost || expected.transient > policy.max_transient ||
                     expected.bug > policy.max_bug || expected.uncounted > policy.max_uncounted;
  const auto* fail = std::get_if<FailTask>(event_);
  const bool hopeless = fail != nullptr && (fail->failure.failure_class == FailureClass::kFatal ||
                                            fail->failure.failure_class == FailureClass::kInput);
  Require(Invariant::kRetryBudget, (after.state == TaskState::kFailed) == (spent || hopeless), id,
          " is tried again beyond its budget, or not within it");
}

void SimChecker::CheckRest(const Watch& watch, const Known& known, const TaskStatus& after,
                           const std::string& task_id) {
  Require(Invariant::kRetryBudget, now() >= watch.rest_until, task_id, " was granted before its rest was over");
  const WorkerKey holder = {after.worker_name, after.incarnation};
  const std::string& numerics_class =
      known.job.status.numerics_class.empty() ? class_of_[holder] : known.job.status.numerics_class;
  Require(Invariant::kRetryBudget,
          watch.failed_on != holder || now() >= watch.avoid_until || !HasAnotherWorker(numerics_class, holder.name),
          task_id, " was granted again to the worker that it failed on");
}

bool SimChecker::HasAnotherWorker(const std::string& numerics_class, const std::string& name) const {
  return std::any_of(last_call_.begin(), last_call_.end(), [&](const auto& entry) {
    return entry.first.name != name && class_of_.at(entry.first) == numerics_class &&
           now() - entry.second <= options_.lease_ttl;
  });
}

void SimChecker::NoteRest(const Task& before, const TaskStatus& after, Watch& watch) {
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
  if (before.status.state != TaskState::kLeased || std::holds_alternative<ReleaseTask>(*event_)) return;
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
