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
  if (ReasonOf(state.status()) == ErrorReason::kNotLeading) Forget(now);
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

void Ledger::RecordAll(absl::Span<Proposal* const> batch, Instant now) {
  absl::Status in_step = GetInStep(now);
  std::size_t durable_count = 0;  // of the batch
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (AsksStore(batch[i]->event)) {  // which knows only what is durable
      MakeDurable(batch.subspan(durable_count, i - durable_count), now);
      durable_count = i;
      in_step = GetInStep(now);
    }
    batch[i]->answer = in_step.ok() ? DecideAndApply(*batch[i], now) : in_step;
    if (ReasonOf(batch[i]->answer.status()) ==
        ErrorReason::kRollbackSuspected) {  // what comes after it is of another generation
      MakeDurable(batch.subspan(durable_count, i - durable_count), now);
      durable_count = i + 1;
      const absl::Status begun = LeaveLostHistory(EpochOf(batch[i]->event));
      if (!begun.ok()) batch[i]->answer = begun;
      in_step = GetInStep(now);
    }
  }
  MakeDurable(batch.subspan(durable_count), now);
}

absl::StatusOr<Decision> Ledger::Record(const Event& event, Instant now, std::optional<DeletionCount> seen) {
  Proposal proposal = {event, seen};
  Proposal* const one = &proposal;
  RecordAll({&one, 1}, now);
  return std::move(proposal.answer);
}

absl::StatusOr<bool> Ledger::WasRecorded(const Event& event, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, Decide(event, now));
  return decision.outcome == Outcome::kRepeated;
}

absl::StatusOr<std::vector<Digest>> Ledger::BeginDeletions(Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  const Transition plan = artifacts_.PlanDeletions(scheduler_.jobs(), now);
  GPTVQ_RETURN_IF_ERROR(Append(plan, now));
  artifacts_.Apply(plan.artifacts, now.monotonic);
  return artifacts_.Deleting();
}

absl::StatusOr<std::vector<Digest>> Ledger::EndDeletions(const std::vector<Digest>& deleted,
                                                         const std::vector<Digest>& in_doubt, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  artifacts_.NoteInDoubt(in_doubt, now.monotonic);
  const Transition plan = artifacts_.PlanForgetting(deleted, now.monotonic);
  GPTVQ_RETURN_IF_ERROR(Append(plan, now));
  artifacts_.Apply(plan.artifacts, now.monotonic);
  std::vector<Digest> forgotten;
  for (const DoomChange& change : plan.artifacts) forgotten.push_back(change.row.artifact);
  return forgotten;
}

absl::Status Ledger::DoomUnknown(const std::vector<Digest>& stored, Instant now) {
  GPTVQ_RETURN_IF_ERROR(GetInStep(now));
  const Transition plan = artifacts_.PlanUnknown(stored, scheduler_.jobs(), now.wall);
  GPTVQ_RETURN_IF_ERROR(Append(plan, now));
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

absl::StatusOr<Decision> Ledger::DecideAndApply(const Proposal& proposal, Instant now) {
  if (AsksStore(proposal.event)) {
    GPTVQ_ASSIGN_OR_RETURN(std::optional<Decision> answered, AnswerFromStore(proposal.event));
    if (answered) return *std::move(answered);
  }
  GPTVQ_ASSIGN_OR_RETURN(Decision decision, scheduler_.Decide(proposal.event, now));
  Transition& transition = decision.transition;
  if (const JobSnapshot* job = scheduler_.FindJob(transition.job_id)) {
    GPTVQ_ASSIGN_OR_RETURN(transition.artifacts, artifacts_.ConsequencesOf(transition, *job, proposal.seen, now.wall));
    artifacts_.Apply(transition.artifacts, now.monotonic);
  }
  scheduler_.Apply(decision);
  return decision;
}

// What was decided after something that the journal did not take rests on it, a refusal as well as a repetition.
void Ledger::MakeDurable(absl::Span<Proposal* const> batch, Instant now) {
  std::vector<const Transition*> transitions;
  for (const Proposal* proposal : batch) {
    if (proposal->answer.ok() && !proposal->answer->transition.empty()) {
      transitions.push_back(&proposal->answer->transition);
    }
  }
  const absl::Status appended = Append(transitions, now);
  if (appended.ok()) return;
  for (Proposal* proposal : batch) proposal->answer = appended;
}

absl::Status Ledger::Append(const Transition& transition, Instant now) {
  if (transition.empty()) return absl::OkStatus();
  const Transition* const one = &transition;
  return Append({&one, 1}, now);
}

absl::Status Ledger::Append(absl::Span<const Transition* const> transitions, Instant now) {
  if (transitions.empty()) return absl::OkStatus();
  const absl::Status appended = store_.AppendAll(transitions);
  if (appended.ok()) return absl::OkStatus();
  Forget(now);
  return JournalUnavailable(appended);
}

void Ledger::Forget(Instant now) {
  in_step_ = false;
  scheduler_.Restore({}, now);
  artifacts_.Restore({}, now.monotonic);
}

// Jobs that ended long ago are in the journal only; asking for them again must still find them.
bool Ledger::AsksStore(const Event& event) const {
  const auto* submit = std::get_if<SubmitJob>(&event);
  const auto* cancel = std::get_if<CancelJob>(&event);
  if (submit == nullptr && cancel == nullptr) return false;
  return scheduler_.FindJob(submit != nullptr ? submit->job.job_id : cancel->job_id) == nullptr;
}

absl::StatusOr<std::optional<Decision>> Ledger::AnswerFromStore(const Event& event) {
  Decision repeated;
  repeated.outcome = Outcome::kRepeated;
  if (const auto* submit = std::get_if<SubmitJob>(&event)) {
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
    const auto job = store_.ReadJob(cancel->job_id);
    if (job.ok()) return repeated;  // not in memory, so it has ended
    if (!absl::IsNotFound(job.status())) return JournalUnavailable(job.status());
  }
  return std::nullopt;
}

}  // namespace gptvq
