#ifndef GPTVQ_SERVER_SCHEDULER_WORKER_TRUST_H_
#define GPTVQ_SERVER_SCHEDULER_WORKER_TRUST_H_

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "platform/job/instant.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// When a worker gets no more work (docs/protocol.md, "Workers that fail"). The numbers are those of the page.
struct TrustOptions {
  int max_failed_tasks = 3;  // that others got further with within an hour, or in a row
  std::chrono::milliseconds first_quarantine{600'000};
  std::chrono::milliseconds longest_quarantine{86'400'000};
  std::chrono::milliseconds probe_period{60'000};  // a suspect gets a task that often
};

// A worker against which something speaks or spoke. What is not in the journal begins anew after a restart.
struct WorkerStanding {
  WorkerRecord record;
  MonotonicTime quarantine_end;
  MonotonicTime next_probe;  // of a suspect
};
using WorkerStandings = std::map<std::string, WorkerStanding, std::less<>>;

// A quarantine that is over counts as trust.
WorkerTrust TrustAt(const WorkerStanding& standing, MonotonicTime now);
WorkerTrust TrustOf(const WorkerStandings& standings, std::string_view name, MonotonicTime now);

// How many of `fleet` workers of one numerics class may be in quarantine at once: 30 % of them, but one of two or three,
// because what speaks against it is that the others get further. A single worker is never taken out: nobody else would do the
// work, and the budgets of its tasks end a job that fails.
int QuarantineAllowance(int fleet);

// Whether a failure speaks against the worker too. INFRA is trouble around both, INPUT and FATAL are the job's.
bool SpeaksAgainstWorker(FailureClass failure_class);

// Tasks of the last hour that the worker failed one after the other, and of which it is known that they can be done:
// another worker got further with them, or with their job.
int FailedInARow(const WorkerRecord& record, WallTime now, absl::FunctionRef<bool(std::string_view task_id)> possible);
// Tasks of the last hour that the worker failed and others got further with.
int RefutedFailures(const WorkerRecord& record, WallTime now);

// Changes what is remembered of workers, as JobStep changes a job. Pure: what it borrows is not changed. Thread-compatible;
// used once.
class TrustStep {
 public:
  TrustStep(const WorkerStandings& standings, Instant now) : standings_(standings), now_(now) {}

  // As it is in this step; nullptr: nothing is remembered.
  const WorkerRecord* Find(std::string_view name) const;
  WorkerTrust TrustOf(std::string_view name) const;

  // A worker failed a task. Nothing is added to what already is in quarantine.
  void AddFailure(const std::string& name, const std::string& task_id, FailureClass failure_class);
  // Another worker got further with a task that this one failed.
  void Refute(const std::string& name, const std::string& task_id);
  // A worker got further with a task: nothing before counts as in a row, and a suspect is cleared.
  void AddSuccess(const std::string& name);

  void Quarantine(const std::string& name, const TrustOptions& options, std::string reason);
  void Suspect(const std::string& name, std::string reason);
  // As if nothing had been, but for what it made while it was distrusted.
  void Clear(const std::string& name);
  // What it made is to be made again; and is, or the jobs have ended.
  void Distrust(const std::string& name);
  void EndDistrust(const std::string& name);

  // Whom this step changed so far.
  const std::map<std::string, WorkerRecord, std::less<>>& changed() const { return changed_; }

  // The changed rows.
  std::vector<WorkerRecord> Finish();

 private:
  WorkerRecord& Change(const std::string& name);
  void ForgetOneThatIsStale();

  const WorkerStandings& standings_;
  const Instant now_;
  std::map<std::string, WorkerRecord, std::less<>> changed_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_WORKER_TRUST_H_
