#ifndef GPTVQ_SERVER_LEDGER_H_
#define GPTVQ_SERVER_LEDGER_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/job_store/job_store.h"
#include "server/doomed_artifacts.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

// An event on its way into the ledger, and what became of it. Borrows the event.
struct Proposal {
  const Event& event;
  std::optional<DeletionCount> seen = std::nullopt;  // when its artifacts were found stored
  absl::StatusOr<Decision> answer = absl::UnknownError("not decided yet");
};

// The scheduler, the doomed artifacts and their journal, in step. Events that come together are decided and applied to memory
// one after the other, and their decisions journaled at once; nothing of it is answered before the journal has it. When the
// journal fails, all of them are refused, and memory is emptied and read anew before the next event, because nobody knows what
// was stored. Where coordinators share a journal, the ledger of one that stands by is not in step, and each event tries whether
// the other one still leads. A lease that the journal must have forgotten (ROLLBACK_SUSPECTED) is refused and begins a
// generation of epochs, whichever call shows it. Thread-compatible: whoever calls must let nobody look at it meanwhile. Borrows the store.
class Ledger {
 public:
  Ledger(JobStore& store, const SchedulerOptions& options, const GarbageOptions& garbage = {})
      : store_(store), scheduler_(options), artifacts_(garbage) {}

  // Reads the journal. To be called once before anything else. Errors: those of JobStore::LoadActive.
  absl::Status Load(Instant now);

  // Records events in order, each as if those before it were recorded, and answers them when all that was decided is durable.
  // Errors, of each: refusals of the scheduler; Unavailable (NOT_LEADING) on standby; Unavailable (JOURNAL_UNAVAILABLE) when the journal did not answer or did not take the
  // change. The change then either did not happen, or a repetition of the event finds it done; Unavailable (ARTIFACT_DELETING), see
  // DoomedArtifacts::ConsequencesOf, for events that name artifacts.
  void RecordAll(absl::Span<Proposal* const> batch, Instant now);
  // The same for one.
  absl::StatusOr<Decision> Record(const Event& event, Instant now, std::optional<DeletionCount> seen = std::nullopt);

  // Whether an event was recorded before, so that recording it would change nothing. What its artifacts became since is no
  // matter then. Errors: as Record, which would not take it.
  absl::StatusOr<bool> WasRecorded(const Event& event, Instant now);

  // Whether a call comes from the holder of a task. Errors: those of Scheduler::CheckHolder; as Record.
  absl::Status CheckHolder(const Lease& lease, Instant now);

  // Lets the deletion of artifacts begin that nobody needs, and returns all that are to be deleted from the store now, also
  // those of earlier calls. Errors: as Record.
  absl::StatusOr<std::vector<Digest>> BeginDeletions(Instant now);
  // Those of them that are deleted, and those of which nobody knows. Returns the deleted ones that are done with; the others
  // are to be deleted once more. Errors: as Record.
  absl::StatusOr<std::vector<Digest>> EndDeletions(const std::vector<Digest>& deleted,
                                                   const std::vector<Digest>& in_doubt, Instant now);
  // Dooms what is in the store and named by nobody. `stored` is all that is there. Errors: as Record.
  absl::Status DoomUnknown(const std::vector<Digest>& stored, Instant now);

  // OK while memory holds what the journal holds; else nothing may be concluded from scheduler() and artifacts().
  // Errors: Unavailable (NOT_LEADING, JOURNAL_UNAVAILABLE).
  absl::Status CheckInStep() const;

  const Scheduler& scheduler() const { return scheduler_; }
  const DoomedArtifacts& artifacts() const { return artifacts_; }

 private:
  absl::Status GetInStep(Instant now);
  absl::StatusOr<Decision> Decide(const Event& event, Instant now);
  absl::Status LeaveLostHistory(std::int64_t forgotten_epoch);
  bool AsksStore(const Event& event) const;
  absl::StatusOr<Decision> DecideAndApply(const Proposal& proposal, Instant now);
  void MakeDurable(absl::Span<Proposal* const> batch, Instant now);
  absl::Status Append(absl::Span<const Transition* const> transitions, Instant now);
  absl::Status Append(const Transition& transition, Instant now);
  void Forget(Instant now);
  absl::StatusOr<std::optional<Decision>> AnswerFromStore(const Event& event);

  JobStore& store_;
  Scheduler scheduler_;
  DoomedArtifacts artifacts_;
  bool in_step_ = false;  // memory holds what the journal holds
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LEDGER_H_
