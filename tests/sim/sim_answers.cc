// What the checker knows of answers: whoever is told something may rely on it.

#include <algorithm>
#include <utility>

#include "platform/job/error_reason.h"
#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

bool Matches(const Lease& lease, const TaskStatus& status) {
  return lease.epoch == status.epoch && lease.worker_name == status.worker_name &&
         lease.incarnation == status.incarnation;
}

// Whether the coordinator refused for a reason of its own, instead of not being able to answer, or not remembering a job that
// ended long ago.
bool IsRefusal(const absl::StatusOr<Decision>& decision) {
  return !decision.ok() && !absl::IsUnavailable(decision.status()) &&
         ReasonOf(decision.status()) != ErrorReason::kTaskUnknown;
}

}  // namespace

void SimChecker::OnRefused(const Event& event, const absl::Status& status) { NoteAnswer(event, status); }

void SimChecker::NoteAnswer(const Event& event, const absl::StatusOr<Decision>& decision) {
  if (ReasonOf(decision.status()) == ErrorReason::kRollbackSuspected) rollback_suspected_ = true;
  if (!std::holds_alternative<Tick>(event)) {
    world_.Trace("answer to call " + std::to_string(event.index()) + ": " +
                 (decision.ok() ? std::to_string(static_cast<int>(decision->outcome)) + " " + decision->task_id
                                : std::string(decision.status().message())));
  }
  std::visit(
      [&](const auto& one) {
        if constexpr (requires { one.lease; }) {
          CheckEpoch(one.lease, decision.status());
          last_sign_[{one.lease.worker_name, one.lease.incarnation}] = now();
        }
        if constexpr (requires { one.worker; }) last_sign_[one.worker] = now();
        Check(one, decision);
      },
      event);
}

void SimChecker::CheckEpoch(const Lease& lease, const absl::Status& answer) {
  const Place place = Find(lease.task_id);
  if (place.task == nullptr) return;
  const bool forgotten = lease.epoch > place.task->status.epoch && GenerationOf(lease.epoch) >= generation_;
  Require(Invariant::kEpochRises, !forgotten || ReasonOf(answer) != ErrorReason::kStaleEpoch, lease.task_id,
          ": an epoch that was never granted was taken for an old one");
}

void SimChecker::OnGranted(const TaskGrant& grant) {
  const std::string& id = grant.lease.task_id;
  const Place place = Find(id);
  const JobSnapshot& job = place.known->job;
  const TaskDescription& description = place.task->description;
  const std::optional<int> audited = AuditedBy(description);
  const TaskDescription& asked = audited ? job.tasks[*audited].description : description;
  Require(Invariant::kPeers, Matches(grant.lease, place.task->status) && grant.kind == asked.kind, id,
          ": the grant names another lease");
  std::optional<Digest> boundary;
  if (description.input_boundary_of)
    boundary = OutputBoundary(*job.tasks[*description.input_boundary_of].status.result);
  Require(Invariant::kPeers, grant.input_boundary == boundary, id, ": the grant has the wrong boundary");
  std::vector<Digest> layers;
  if (description.kind == TaskKind::kQuantize) {
    const std::vector<int>& lost = place.task->status.repair.lost_layers;
    for (int layer = grant.layers.begin; layer < grant.layers.end; ++layer) {
      const bool is_lost = std::find(lost.begin(), lost.end(), layer) != lost.end();
      if (job.layers[layer] != Digest() && !is_lost) layers.push_back(job.layers[layer]);
    }
  }
  if (grant.kind == TaskKind::kFinalize) layers = job.layers;
  const bool same =
      std::equal(layers.begin(), layers.end(), grant.published_layers.begin(), grant.published_layers.end(),
                 [](const Digest& a, const PublishedLayer& b) { return a == b.artifact; });
  Require(Invariant::kPeers, same, id, ": the grant names other layers than are published");
  if (boundary && !MayBeGone(*place.known, *place.task)) layers.push_back(*boundary);
  const std::optional<TaskCheckpoint>& acknowledged = place.watch->acknowledged;
  Require(Invariant::kKeptWork,
          grant.checkpoint == place.task->status.checkpoint &&
              (!acknowledged || (grant.checkpoint && grant.checkpoint->sequence >= acknowledged->sequence)),
          id, ": what was kept of its layer is not given to its next holder");
  if (grant.checkpoint) layers.push_back(grant.checkpoint->artifact);
  for (const Digest& artifact : layers) {
    Require(Invariant::kNeededKept, IsThere(artifact), id, ": the grant names what is not stored");
  }
}

void SimChecker::CheckTold(const Lease& lease, const absl::Status& refusal) {
  const Place place = Find(lease.task_id);
  if (place.task == nullptr || absl::IsUnavailable(refusal)) return;
  const TaskStatus& status = place.task->status;
  if (status.state != TaskState::kCancelling || !Matches(lease, status)) return;
  const auto reason = ReasonOf(refusal);
  Require(Invariant::kCancelWins,
          reason == ErrorReason::kJobCancelled || reason == ErrorReason::kInvalidField || absl::IsDataLoss(refusal) ||
              reason == ErrorReason::kOutputMissing,
          lease.task_id, ": its holder is not told that it is cancelled but ", refusal.ToString());
}

void SimChecker::Check(const SubmitJob& event, const absl::StatusOr<Decision>& decision) {
  const auto known = known_.find(event.job.job_id);
  const bool same = known != known_.end() && known->second.job.description.spec == event.job.spec;
  if (decision.ok()) {
    Require(Invariant::kAcknowledgedPersists, same, event.job.job_id, " was acknowledged but is not journaled so");
  } else {
    Require(Invariant::kPeers, !IsRefusal(decision) || !same, event.job.job_id, ": a repeated submission was refused");
  }
}

void SimChecker::Check(const CancelJob& event, const absl::StatusOr<Decision>& decision) {
  const auto known = known_.find(event.job_id);
  Require(Invariant::kPeers, !IsRefusal(decision) || known == known_.end(), event.job_id, " could not be cancelled");
  if (!decision.ok() || known == known_.end()) return;
  const JobState state = known->second.job.status.state;
  Require(Invariant::kCancelWins,
          state != JobState::kPending && state != JobState::kRunning && state != JobState::kFinalizing, event.job_id,
          " goes on although its cancellation was acknowledged");
}

void SimChecker::Check(const RegisterWorker& event, const absl::StatusOr<Decision>& decision) {
  Require(Invariant::kPeers, !IsRefusal(decision), event.worker.name, " could not register");
  class_of_[event.worker] = event.numerics_class;
  NoteDevices(event.worker, event.devices, decision.status());
  if (!decision.ok()) return;
  last_call_[event.worker] = now();
}

void SimChecker::Check(const PollTask& event, const absl::StatusOr<Decision>& decision) {
  NoteDevices(event.worker, event.devices, decision.status());
  if (!decision.ok()) return;
  if (last_call_.contains(event.worker)) last_call_[event.worker] = now();
  if (decision->outcome == Outcome::kNothing) return CheckStarvation(event.worker);
  const Place place = Find(decision->task_id);
  Require(Invariant::kGrantedOnce, place.task != nullptr, "a poll was granted what is no task");
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  Require(Invariant::kGrantedOnce,
          status.state == TaskState::kLeased && status.worker_name == event.worker.name &&
              status.incarnation == event.worker.incarnation && status.poll_id == event.poll_id,
          decision->task_id, " was given to a poll that does not hold it");
  place.watch->last_sign = now();
  NoteExtended(*place.task);
}

void SimChecker::CheckStarvation(const WorkerKey& worker) {
  const auto bound = options_.retry.backoff_cap + options_.avoid_for;
  const std::string& own_class = class_of_[worker];
  if (!MayBeUsable(worker)) return;
  const bool suspect = TrustOf(worker.name) == WorkerTrust::kSuspect;
  if (suspect && now() < workers_[worker.name].next_probe) return;
  if (!suspect && (TrustOf(worker.name) == WorkerTrust::kQuarantined || MayBeStopped(own_class))) return;
  const auto fails_all = [&](const std::string& name) {
    return FailedTasks(name, [](const Blame& blame) { return blame.in_a_row; }) >= 3;
  };
  const auto anybody = [](const std::string&) { return true; };
  if (!suspect && fails_all(worker.name) && MayHaveAnotherWorker(worker.name, anybody)) return;
  for (const auto& [id, known] : known_) {
    const std::string& pinned = known.job.status.numerics_class;
    if (IsTerminal(known.job.status.state) || (!pinned.empty() && pinned != class_of_[worker])) continue;
    for (const Task& task : known.job.tasks) {
      const Watch& watch = known.watches[task.description.index];
      if (!suspect && MayBeKeptFrom(watch, worker.name)) continue;
      if (!MayHave(known, task, worker.name)) continue;
      Require(Invariant::kNoStarvation, task.status.state != TaskState::kReady || now() - watch.ready_since <= bound,
              task.description.task_id, " rests although ", worker.name, " asks for work");
    }
  }
}

void SimChecker::Check(const RenewLease& event, const absl::StatusOr<Decision>& decision) {
  const Place place = Find(event.lease.task_id);
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  const bool holds = Matches(event.lease, status) && IsHeld(status.state);
  const WorkerKey worker = {event.lease.worker_name, event.lease.incarnation};
  if (!decision.ok()) {
    NoteDevices(worker, event.devices, decision.status());
    Require(Invariant::kHolderExtends, !IsRefusal(decision) || !holds, event.lease.task_id, ": its holder was refused");
    return;
  }
  Require(Invariant::kHolderExtends, holds, event.lease.task_id, " was renewed by somebody who does not hold it");
  if (!holds) return;
  Require(Invariant::kCancelWins,
          (status.state == TaskState::kCancelling) == (decision->outcome == Outcome::kCancelRequested),
          event.lease.task_id, ": its holder is not told that it is cancelled, or told wrongly");
  Watch& watch = *place.watch;
  watch.last_sign = now();
  if (event.progress.counter > watch.progress_counter) {
    watch.progress_counter = event.progress.counter;
    watch.last_progress = now();
  }
  if (last_call_.contains(worker)) last_call_[worker] = now();
  NoteDevices(worker, event.devices, decision.status());
  NoteExtended(*place.task);
}

void SimChecker::NoteExtended(const Task& task) { extended_.insert({task.description.task_id, task.status.epoch}); }

void SimChecker::CheckExtended(const Ledger& ledger) {
  const auto extended = std::exchange(extended_, {});
  if (!ledger.CheckInStep().ok()) return;  // it begins anew, with a full ttl
  const auto& leases = ledger.scheduler().held();
  for (const auto& [task_id, epoch] : extended) {
    const Place place = Find(task_id);
    if (!IsHeld(place.task->status.state) || place.task->status.epoch != epoch) continue;
    const auto held = leases.find({place.known->job.description.sequence, place.task->description.index});
    Require(Invariant::kHolderExtends, held != leases.end() && held->second.expiry == now() + options_.lease_ttl,
            task_id, ": its holder was not given a full ttl");
  }
}

void SimChecker::Check(const PublishLayer& event, const absl::StatusOr<Decision>& decision) {
  if (!decision.ok()) return CheckTold(event.lease, decision.status());
  const Place place = Find(event.lease.task_id);
  const std::vector<Digest>& audited = place.task->status.audit.layers;
  const bool is_audit = AuditedBy(place.task->description).has_value();
  Require(Invariant::kAcknowledgedPersists,
          is_audit ? std::find(audited.begin(), audited.end(), event.layer.artifact) != audited.end()
                   : place.known->job.layers[event.layer.layer] == event.layer.artifact,
          event.lease.task_id, ": an acknowledged layer is not journaled");
  if (place.known == nullptr || decision->outcome == Outcome::kRepeated) return;
  place.watch->last_sign = now();
  NoteExtended(*place.task);
}

void SimChecker::Check(const CheckpointTask& event, const absl::StatusOr<Decision>& decision) {
  const Place place = Find(event.lease.task_id);
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  if (AuditedBy(place.task->description) && decision.ok()) {  // heard, and not kept
    place.watch->last_sign = place.watch->last_progress = now();
    return NoteExtended(*place.task);
  }
  const bool done = Matches(event.lease, status) && status.checkpoint &&
                    status.checkpoint->layer == event.checkpoint.layer &&
                    status.checkpoint->sequence == event.checkpoint.sequence &&
                    status.checkpoint->artifact == event.checkpoint.artifact;
  if (!decision.ok()) {
    Require(Invariant::kPeers,
            !IsRefusal(decision) || !done || status.state != TaskState::kLeased ||
                TrustOf(event.lease.worker_name) == WorkerTrust::kQuarantined ||
                MayWantReboot({event.lease.worker_name, event.lease.incarnation}),
            event.lease.task_id, ": a repeated checkpoint was refused");
    return CheckTold(event.lease, decision.status());
  }
  Require(Invariant::kAcknowledgedPersists, done, event.lease.task_id, ": an acknowledged checkpoint is not journaled");
  place.watch->acknowledged = event.checkpoint;
  if (decision->outcome == Outcome::kRepeated) return;
  place.watch->last_sign = now();
  NoteExtended(*place.task);
}

void SimChecker::Check(const CompleteTask& event, const absl::StatusOr<Decision>& decision) {
  const Place place = Find(event.lease.task_id);
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  const bool done =
      status.state == TaskState::kCommitted && Matches(event.lease, status) && status.result == event.result;
  if (AuditedBy(place.task->description)) return;
  if (decision.ok()) {
    const bool overturned = status.audit.may_differ && Matches(event.lease, status);  // by what it came to just now
    Require(Invariant::kCommittedOnce, done || overturned, event.lease.task_id,
            ": a result was acknowledged that is not committed");
  } else {
    Require(Invariant::kCommittedOnce, !IsRefusal(decision) || !done, event.lease.task_id,
            ": a repeated commit was refused");
    CheckTold(event.lease, decision.status());
  }
}

void SimChecker::Check(const FailTask& event, const absl::StatusOr<Decision>& decision) {
  const Place place = Find(event.lease.task_id);
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  const bool done = !IsHeld(status.state) && Matches(event.lease, status) && status.last_failure == event.failure;
  if (decision.ok()) {
    Require(Invariant::kAcknowledgedPersists, done, event.lease.task_id, ": an acknowledged failure is not journaled");
  } else {
    Require(Invariant::kPeers,
            !IsRefusal(decision) || (!done && !(Matches(event.lease, status) && IsHeld(status.state))),
            event.lease.task_id, ": a failure of its holder was refused");
  }
}

void SimChecker::Check(const ReleaseTask& event, const absl::StatusOr<Decision>& decision) {
  const Place place = Find(event.lease.task_id);
  if (place.task == nullptr) return;
  const TaskStatus& status = place.task->status;
  const bool free =
      status.state == TaskState::kReady || status.state == TaskState::kBlocked || status.state == TaskState::kCancelled;
  const bool done = free && Matches(event.lease, status);
  if (decision.ok()) {
    Require(Invariant::kAcknowledgedPersists, done, event.lease.task_id, ": an acknowledged release is not journaled");
  } else {
    Require(Invariant::kPeers,
            !IsRefusal(decision) || (!done && !(Matches(event.lease, status) && IsHeld(status.state))),
            event.lease.task_id, ": a release by its holder was refused");
  }
}

void SimChecker::Check(const ReleaseWorker& event, const absl::StatusOr<Decision>& decision) {
  Require(Invariant::kQuarantine, !decision.ok() || TrustOf(event.name) == WorkerTrust::kTrusted, event.name,
          " is not trusted although it was released");
}

void SimChecker::Check(const ForgiveSilence&, const absl::StatusOr<Decision>& decision) {
  if (!decision.ok()) return;
  for (auto& [id, known] : known_) {
    for (const Task& task : known.job.tasks) {
      if (!IsHeld(task.status.state)) continue;
      Watch& watch = known.watches[task.description.index];
      watch.last_sign = watch.last_progress = now();
      NoteExtended(task);
    }
  }
}

// Time alone promises nobody anything, but what is overdue must not be left.
void SimChecker::Check(const Tick&, const absl::StatusOr<Decision>& decision) {
  if (!decision.ok() || decision->outcome != Outcome::kNothing) return;
  CheckNothingHeld();
  for (const auto& [id, known] : known_) {
    if (IsTerminal(known.job.status.state)) continue;
    for (const Task& task : known.job.tasks) {
      if (!IsHeld(task.status.state)) continue;
      const Watch& watch = known.watches[task.description.index];
      const bool stalled =
          task.status.state == TaskState::kLeased && now() - watch.last_progress > options_.stall_after;
      Require(Invariant::kNoStarvation, !IsSilent(watch) && !stalled, task.description.task_id,
              " is left to a holder that is silent or stalled");
    }
  }
}

}  // namespace gptvq
