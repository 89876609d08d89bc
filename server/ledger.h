#ifndef GPTVQ_SERVER_LEDGER_H_
#define GPTVQ_SERVER_LEDGER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job_store/job_store.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

// The scheduler and its journal, in step: an event is decided, the decision journaled, and only then applied to memory. When
// the journal fails, memory stays as it was and is read anew before the next event, because nobody knows what was stored.
// Where coordinators share a journal, the ledger of one that stands by is not in step, and each event tries whether the other
// one still leads. Thread-compatible. Borrows the store.
class Ledger {
 public:
  Ledger(JobStore& store, const SchedulerOptions& options) : store_(store), scheduler_(options) {}

  // Reads the journal. To be called once before anything else. Errors: those of JobStore::LoadActive.
  absl::Status Load(Instant now);

  // Errors: refusals of the scheduler; Unavailable (NOT_LEADING) on standby; Unavailable (JOURNAL_UNAVAILABLE) when the journal did not answer or did not take the
  // change. The change then either did not happen, or a repetition of the event finds it done.
  absl::StatusOr<Decision> Record(const Event& event, Instant now);

  // OK while memory holds what the journal holds; else nothing may be concluded from scheduler().
  // Errors: Unavailable (NOT_LEADING, JOURNAL_UNAVAILABLE).
  absl::Status CheckInStep() const;

  const Scheduler& scheduler() const { return scheduler_; }

 private:
  absl::StatusOr<std::optional<Decision>> AnswerFromStore(const Event& event);

  JobStore& store_;
  Scheduler scheduler_;
  bool in_step_ = false;  // memory holds what the journal holds
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LEDGER_H_
