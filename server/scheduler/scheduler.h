#ifndef GPTVQ_SERVER_SCHEDULER_SCHEDULER_H_
#define GPTVQ_SERVER_SCHEDULER_SCHEDULER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/scheduler/decision.h"
#include "server/scheduler/retry_policy.h"
#include "server/scheduler/task_inputs.h"
#include "server/scheduler/worker_trust.h"

namespace gptvq {

class JobStep;

struct SchedulerOptions {
  std::chrono::milliseconds lease_ttl{30'000};     // silence after which a task is offered to others
  std::chrono::milliseconds stall_after{600'000};  // heartbeats without progress after which it is, too
  // For so long after its rest a failed task is kept for other workers than the one it failed on.
  std::chrono::milliseconds avoid_for{30'000};
  // An audit that no other worker could take for so long is skipped: so long every living one was heard in.
  std::chrono::milliseconds audit_patience{30'000};
  // Where two came to different bytes, a third may still come for so long.
  std::chrono::milliseconds dispute_patience{300'000};
  RetryPolicy retry;
  TrustOptions trust;
  std::uint64_t seed = 0;  // of the jitter
  int max_active_jobs = 256;
  int max_active_tasks = 200'000;
  int max_workers = 1'024;
  int retained_jobs = 64;  // ended jobs kept in memory, to answer late repetitions
};

struct WorkerPresence {
  RegisterWorker registration;  // its devices as reported last
  WallTime register_time;
  MonotonicTime last_call;
};

// Decides who works on what. The jobs that have not ended, and who holds their tasks, as one state machine: events in,
// decisions out.
//
//   decision = scheduler.Decide(event, now);   // pure: looks, does not touch
//   scheduler.Apply(decision);                 // memory, at which nobody looks before
//   journal.Append(decision.transition);       // it is durable; or Restore()
//
// Thread-compatible: one thread at a time. No clock, no I/O, no randomness but the seed. Invariants: a task's epoch rises
// with every grant; only the holder of the latest grant changes a task; a task is granted only after everything it depends
// on was committed; an ended job never changes.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options) : options_(options) {}

  // What the journal holds.
  struct Memory {
    std::vector<JobSnapshot> jobs;   // that have not ended
    std::int64_t last_sequence = 0;  // the greatest ever given
    std::vector<WorkerRecord> workers;
    std::int64_t generation = 0;  // of the journal: epochs begin with it
  };
  // Begins from `memory`. Every held task gets a fresh ttl, so that an outage of ours never costs a living worker its lease. Who
  // is there is not remembered: workers register again. What is left of a quarantine goes by the wall clock, and is never
  // more than the longest.
  void Restore(Memory memory, Instant now);

  // Errors: refusals (platform/job/error_reason.h); nothing changes then.
  absl::StatusOr<Decision> Decide(const Event& event, Instant now) const;

  // Precondition: `decision` is the latest one and nothing was applied since.
  void Apply(const Decision& decision);

  // A job that has not ended, or ended lately; nullptr for others. Valid until the next Apply.
  const JobSnapshot* FindJob(std::string_view job_id) const;
  struct FoundTask {
    const JobSnapshot* job = nullptr;
    const Task* task = nullptr;
    TaskKey key;
  };
  // Errors: NotFound (TASK_UNKNOWN).
  absl::StatusOr<FoundTask> FindTask(std::string_view task_id) const;

  // Whether a call about a task comes from its holder. Errors: NotFound, FailedPrecondition, as in worker_service.proto; OK
  // also in CANCELLING.
  absl::Status CheckHolder(const Lease& lease) const;

  const std::map<std::int64_t, JobSnapshot>& jobs() const { return jobs_; }
  const std::map<TaskKey, HeldLease>& held() const { return held_; }
  const std::map<TaskKey, Rest>& ready() const { return ready_; }
  const std::map<WorkerKey, WorkerPresence>& workers() const { return workers_; }
  const WorkerStandings& standings() const { return standings_; }
  std::int64_t generation() const { return generation_; }
  // Numerics classes that get no work because too many of their workers fail (docs/protocol.md, "Workers that fail").
  std::set<std::string> StoppedClasses() const;
  const SchedulerOptions& options() const { return options_; }

 private:
  using DecisionOr = absl::StatusOr<Decision>;
  using Findings = std::vector<AuditOutcome>;

  // decide_job.cc
  DecisionOr DecideOn(const SubmitJob& event, Instant now) const;
  DecisionOr DecideOn(const CancelJob& event, Instant now) const;
  // decide_lease.cc
  DecisionOr DecideOn(const RegisterWorker& event, Instant now) const;
  DecisionOr DecideOn(const PollTask& event, Instant now) const;
  DecisionOr DecideOn(const RenewLease& event, Instant now) const;
  DecisionOr DecideOn(const Tick& event, Instant now) const;
  DecisionOr DecideOn(const ForgiveSilence& event, Instant now) const;
  bool MayTake(const WorkerPresence& worker, const WorkerKey& identity, TaskKey key, const Rest& rest,
               Instant now) const;
  // Whether a worker of the class that is given work, other than `identity`, called lately and satisfies `condition`.
  bool AnotherWorkerOf(const std::string& numerics_class, const WorkerKey& identity, MonotonicTime now,
                       absl::FunctionRef<bool(const std::string& name)> condition) const;
  std::optional<Decision> RevokeALease(Instant now) const;
  std::optional<Decision> TakeAnOverdueLease(Instant now) const;
  // decide_work.cc
  DecisionOr DecideOn(const PublishLayer& event, Instant now) const;
  DecisionOr DecideOn(const CheckpointTask& event, Instant now) const;
  DecisionOr DecideOn(const CompleteTask& event, Instant now) const;
  DecisionOr DecideOn(const FailTask& event, Instant now) const;
  DecisionOr DecideOn(const ReleaseTask& event, Instant now) const;
  // The task's result is `event`'s from now on.
  static void Commit(const FoundTask& found, const CompleteTask& event, JobStep& step);
  // Of the holder that got further just now.
  HeldLease ExtendedLease(TaskKey key, Instant now) const;

  // decide_repair.cc: what the store lost
  // The task waits until what it read and the store lost was made again; or fails, when that happened too often. Nobody is blamed.
  void AwaitRepair(const FoundTask& found, TaskFailure failure, const std::vector<TaskInput>& lost, JobStep& step,
                   Findings& findings) const;

  // decide_audit.cc: what is done a second time
  bool MayAudit(const JobSnapshot& job, const Task& audit, const std::string& name) const;
  // Whether the work of a worker that computes wrong is still being looked for.
  bool IsSortingOut() const;
  // Whether the holder of an audit completes it once more, as before.
  bool HasAnswered(const FoundTask& found, const CompleteTask& event) const;
  // The holder of an audit publishes a layer: its digest is kept, to be compared.
  DecisionOr TakeAuditedLayer(const FoundTask& found, const PublishLayer& event, Decision decision, Instant now) const;
  // The holder of an audit completes it.
  void TakeAnswer(const FoundTask& found, const CompleteTask& event, JobStep& step, Findings& findings,
                  TrustStep& trust) const;
  // Compares the answers with what is published. `latest`: that of its holder; nullptr when nobody holds the audit.
  void JudgeAudit(const JobSnapshot& job, int index, const AuditAnswer* latest, JobStep& step, Findings& findings,
                  TrustStep& trust) const;
  // Quarantine, or suspicion, for workers that computed wrong, and another run of what else they made of the job.
  void Convict(const std::set<std::string>& workers, const JobSnapshot& job, int audit, JobStep& step,
               TrustStep& trust) const;
  // After a capture or quantize task was committed: who read what is another now, and whether audits that waited for it agree.
  void CompareWithBefore(const FoundTask& found, JobStep& step, Findings& findings, TrustStep& trust) const;
  // A second run that cannot be had ends the audit, not the job.
  static TaskTrigger EndOfFailedTask(const Task& task, TaskTrigger trigger);
  static void NoteGivenUp(TaskStatus& status, Findings& findings);
  std::optional<Decision> SettleAnAudit(Instant now) const;
  std::optional<Decision> OverturnDistrustedWork(Instant now) const;

  // judge_worker.cc: what tasks show of workers
  DecisionOr DecideOn(const ReleaseWorker& event, Instant now) const;
  bool IsGivenWork(const RegisterWorker& worker, Instant now) const;
  // Whether a worker reported that its host needs a reboot (docs/protocol.md, "Health of devices").
  bool HasToRestart(const WorkerKey& worker) const;
  bool HasFailedInARow(const std::string& name, WallTime now) const;
  // Takes down that the holder of a task failed it, and says what that makes of the task: `within_budget` (kRetry, kExpire, kStall),
  // kFail or kPoison.
  struct Verdict {
    TaskTrigger trigger = TaskTrigger::kRetry;
    FailureCounts counts;
    std::vector<FailedAttempt> attempts;
  };
  Verdict JudgeFailedAttempt(const FoundTask& found, const FailedAttempt& attempt, TaskTrigger within_budget,
                             TrustStep& trust, Instant now) const;
  // The same of a holder that got further: who failed the task before did not fail because of it.
  std::vector<FailedAttempt> NoteSuccess(const FoundTask& found, TrustStep& trust, Instant now) const;
  // Quarantine, or suspicion, for a worker against which enough speaks. `job` is one that it works on; its tasks count as possible
  // when any of it is done, or is in this step.
  enum class JobProgress { kAsBefore, kInThisStep };
  void JudgeWorker(const std::string& name, const JobSnapshot& job, JobProgress progress, TrustStep& trust,
                   Instant now) const;
  std::optional<Decision> QuarantineASuspect(Instant now) const;
  struct Fleet {
    int present = 0;
    int quarantined = 0;
  };
  // Names of the class that called lately, and `name`.
  Fleet FleetOf(const std::string& numerics_class, const std::string& name, const TrustStep& trust) const;
  std::optional<std::string> ClassOf(std::string_view name) const;
  bool IsStopped(const std::string& numerics_class) const;

  absl::Status CheckTrusted(const Lease& lease, Instant now) const;
  // The task of `lease`, if the caller holds its latest grant or held it until it ended: the caller of a repetition.
  absl::StatusOr<FoundTask> FindGranted(const Lease& lease) const;
  Rest RestAfterFailure(const Task& task, const TaskStatus& status, MonotonicTime now) const;

  void ApplyJob(const Decision& decision);
  void ApplyWorkers(const Decision& decision);
  MonotonicTime QuarantineEnd(const WorkerRecord& record, Instant now) const;
  void ApplyTaskState(TaskKey key, TaskState state, const Decision& decision);
  void RetireJob(std::int64_t sequence);
  void ForgetSilentWorkers(MonotonicTime now);

  const SchedulerOptions options_;
  std::int64_t last_sequence_ = 0;
  std::int64_t generation_ = 0;                                   // of the journal: epochs begin with it
  std::map<std::int64_t, JobSnapshot> jobs_;                      // by sequence
  std::map<std::string, std::int64_t, std::less<>> sequence_of_;  // by job id
  std::map<TaskKey, HeldLease> held_;                             // LEASED and CANCELLING
  std::map<TaskKey, Rest> ready_;                                 // READY, in the order in which they are handed out
  std::map<WorkerKey, WorkerPresence> workers_;
  WorkerStandings standings_;
  MonotonicTime heard_since_;       // since then whoever lives could be heard
  std::deque<std::int64_t> ended_;  // sequences of the ended jobs in jobs_, oldest first
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_SCHEDULER_H_
