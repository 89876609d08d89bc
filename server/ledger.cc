#include "server/ledger.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

absl::Status JournalUnavailable(const absl::Status& cause) {
  if (ReasonOf(cause) == ErrorReason::kNotLeading) return cause;
  return Refuse(ErrorReason::kJournalUnavailable, absl::StrCat("journal: ", cause.message()));
}

// The epoch that the sender of an event holds its task under; 0 in an event about no lease.
std::int64_t EpochOf(const Event& event) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.lease; }) return one.lease.epoch;
        return std::int64_t{0};
      },
      event);
}

}  // namespace

absl::Status Ledger::Load(Instant now) {
  absl::StatusOr<JobStore::State> state = store_.LoadActive();
  in_step_ = state.ok();
  // What another one now changes is not worth remembering.
  if (ReasonOf(state.status()) == ErrorReason::kNotLeading) {
    scheduler_.Restore({}, now);
    artifacts_.Restore({}, now.monotonic);
  }
  GPTVQ_RETURN_IF_ERROR(state.status());
  artifacts_.Restore(std::move(state->doomed_artifacts), now.monotonic);
  scheduler_.Restore(
      {std::move(state->active_jobs), state->last_sequence, std::move(state->workers), state->generation}, now);
  return absl::OkStatus();
}

absl::Status Ledger::CheckInStep() const {
  GPTVQ_RETURN_IF_ERROR(store_.CheckLeading());
  if (in_step_) return absl::OkStatus();
  return JournalUnavailable(absl::UnavailableError("it has to be read again"));
}

absl::StatusOr<Decision> Ledger::Record(const Event& event, Instant now, std::optional<DeletionCount> seen) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  GPTVQ_ASSIGN_OR_RETURN(std::optional<Decision> answered, AnswerFromStore(event));
  if (answered) return *std::move(answered);

  GPTVQ_ASSIGN_OR_RETURN(Decision decision, Decide(event, now));
  Transition& transition = decision.transition;
  if (!transition.empty()) {
    if (const JobSnapshot* job = scheduler_.FindJob(transition.job_id)) {
      GPTVQ_ASSIGN_OR_RETURN(transition.artifacts, artifacts_.ConsequencesOf(transition, *job, seen, now.wall));
    }
    GPTVQ_RETURN_IF_ERROR(Append(transition));
    artifacts_.Apply(transition.artifacts, now.monotonic);
  }
  scheduler_.Apply(decision);
  return decision;
}

absl::StatusOr<bool> Ledger::WasRecorded(const Event& event, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, Decide(event, now));
  return decision.outcome == Outcome::kRepeated;
}

absl::StatusOr<std::vector<Digest>> Ledger::BeginDeletions(Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  const Transition plan = artifacts_.PlanDeletions(scheduler_.jobs(), now);
  GPTVQ_RETURN_IF_ERROR(Append(plan));
  artifacts_.Apply(plan.artifacts, now.monotonic);
  return artifacts_.Deleting();
}

absl::StatusOr<std::vector<Digest>> Ledger::EndDeletions(const std::vector<Digest>& deleted,
                                                         const std::vector<Digest>& in_doubt, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  artifacts_.NoteInDoubt(in_doubt, now.monotonic);
  const Transition plan = artifacts_.PlanForgetting(deleted, now.monotonic);
  GPTVQ_RETURN_IF_ERROR(Append(plan));
  artifacts_.Apply(plan.artifacts, now.monotonic);
  std::vector<Digest> forgotten;
  for (const DoomChange& change : plan.artifacts) forgotten.push_back(change.row.artifact);
  return forgotten;
}

absl::Status Ledger::DoomUnknown(const std::vector<Digest>& stored, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  const Transition plan = artifacts_.PlanUnknown(stored, scheduler_.jobs(), now.wall);
  GPTVQ_RETURN_IF_ERROR(Append(plan));
  artifacts_.Apply(plan.artifacts, now.monotonic);
  return absl::OkStatus();
}

absl::Status Ledger::CheckHolder(const Lease& lease, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  const absl::Status held = scheduler_.CheckHolder(lease);
  if (ReasonOf(held) == ErrorReason::kRollbackSuspected) GPTVQ_RETURN_IF_ERROR(LeaveLostHistory(lease.epoch));
  return held;
}

absl::StatusOr<Decision> Ledger::Decide(const Event& event, Instant now) {
  absl::StatusOr<Decision> decision = scheduler_.Decide(event, now);
  if (ReasonOf(decision.status()) == ErrorReason::kRollbackSuspected) {
    GPTVQ_RETURN_IF_ERROR(LeaveLostHistory(EpochOf(event)));
  }
  return decision;
}

// A lease of ours names an epoch that the journal does not know: it has forgotten more than this one. From here on nothing that it has
// forgotten is granted again.
absl::Status Ledger::LeaveLostHistory(std::int64_t forgotten_epoch) {
  in_step_ = false;
  const absl::Status begun = store_.BeginGeneration(GenerationOf(forgotten_epoch));
  return begun.ok() ? begun : JournalUnavailable(begun);
}

absl::Status Ledger::GetInStep(Instant now) {
  if (CheckInStep().ok()) return absl::OkStatus();
  in_step_ = false;
  const absl::Status loaded = Load(now);
  return loaded.ok() ? loaded : JournalUnavailable(loaded);
}

absl::Status Ledger::Append(const Transition& transition) {
  if (transition.empty()) return absl::OkStatus();
  const absl::Status appended = store_.Append(transition);
  if (!appended.ok()) {
    in_step_ = false;
    return JournalUnavailable(appended);
  }
  return absl::OkStatus();
}

// Jobs that ended long ago are in the journal only; asking for them again must still find them.
absl::StatusOr<std::optional<Decision>> Ledger::AnswerFromStore(const Event& event) {
  Decision repeated;
  repeated.outcome = Outcome::kRepeated;
  if (const auto* submit = std::get_if<SubmitJob>(&event)) {
    if (scheduler_.FindJob(submit->job.job_id) != nullptr) return std::nullopt;
    const auto job_id = store_.FindRequest(submit->job.request_id);
    if (!job_id.ok()) return JournalUnavailable(job_id.status());
    if (!*job_id) return std::nullopt;
    const auto job = store_.ReadJob(**job_id);
    if (!job.ok()) return JournalUnavailable(job.status());
    if (IsRepetition(job->description, submit->job)) return repeated;
    return Refuse(ErrorReason::kIdempotencyMismatch,
                  absl::StrCat("request id ", submit->job.request_id, " was used for another spec, as ", **job_id));
  }
  if (const auto* cancel = std::get_if<CancelJob>(&event)) {
    if (scheduler_.FindJob(cancel->job_id) != nullptr) return std::nullopt;
    const auto job = store_.ReadJob(cancel->job_id);
    if (job.ok()) return repeated;  // not in memory, so it has ended
    if (!absl::IsNotFound(job.status())) return JournalUnavailable(job.status());
  }
  return std::nullopt;
}

}  // namespace gptvq
