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

}  // namespace

absl::Status Ledger::Load(Instant now) {
  absl::StatusOr<JobStore::State> state = store_.LoadActive();
  in_step_ = state.ok();
  // What another one now changes is not worth remembering.
  if (ReasonOf(state.status()) == ErrorReason::kNotLeading) scheduler_.Restore({}, 0, now.monotonic);
  GPTVQ_RETURN_IF_ERROR(state.status());
  scheduler_.Restore(std::move(state->active_jobs), state->last_sequence, now.monotonic);
  return absl::OkStatus();
}

absl::Status Ledger::CheckInStep() const {
  GPTVQ_RETURN_IF_ERROR(store_.CheckLeading());
  if (in_step_) return absl::OkStatus();
  return JournalUnavailable(absl::UnavailableError("it has to be read again"));
}

absl::StatusOr<Decision> Ledger::Record(const Event& event, Instant now) {
  if (!CheckInStep().ok()) {
    in_step_ = false;
    const absl::Status loaded = Load(now);
    if (!loaded.ok()) return JournalUnavailable(loaded);
  }
  GPTVQ_ASSIGN_OR_RETURN(std::optional<Decision> answered, AnswerFromStore(event));
  if (answered) return *std::move(answered);

  GPTVQ_ASSIGN_OR_RETURN(Decision decision, scheduler_.Decide(event, now));
  if (!decision.transition.empty()) {
    const absl::Status appended = store_.Append(decision.transition);
    if (!appended.ok()) {
      in_step_ = false;
      return JournalUnavailable(appended);
    }
  }
  scheduler_.Apply(decision);
  return decision;
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
