#ifndef GPTVQ_TESTS_SIM_SIM_CHECKER_H_
#define GPTVQ_TESTS_SIM_SIM_CHECKER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "platform/job/lease.h"
#include "platform/job_store/job_store.h"
#include "platform/object_store/artifact_store.h"
#include "server/ledger.h"
#include "tests/sim/sim_invariant.h"
#include "tests/sim/sim_world.h"

namespace gptvq {

struct Violation {
  Invariant invariant = Invariant::kPeers;
  std::string text;
};

// Watches the events, the journal and the answers, and knows what must never happen. It keeps its own picture of every job,
// from what the journal truly stored, and its own rules: it shares no decision with the scheduler. Borrows the world, for
// the time, and the objects as they truly are. Thread-compatible.
class SimChecker {
 public:
  SimChecker(SimWorld& world, const ObjectStore& objects, const SchedulerOptions& options)
      : world_(world), objects_(objects), options_(options) {}

  // Events that reach the ledger together, before they are decided. Borrowed until OnRecorded().
  void OnBatch(absl::Span<Proposal* const> batch);
  // They are answered, as the coordinator will pass it on. What the journal said of each is looked at in their order.
  void OnRecorded(const Ledger& ledger);
  // What the journal itself said, before any fault changed the answer.
  void OnAppend(const absl::Status& status);
  // A transition that the journal stored, whatever the ledger was told about it: of a proposal of the batch, or of garbage.
  void OnJournaled(const Transition& transition);
  // An event that was refused before it came to the ledger.
  void OnRefused(const Event& event, const absl::Status& status);
  // What a poll was given, as it leaves.
  void OnGranted(const TaskGrant& grant);
  // What a coordinator found in the journal. What only memory knew is forgotten from then on.
  void OnLoaded(const JobStore::State& state);
  // In liveness mode, long after the last fault. `submitted`: whether every client got its job accepted.
  void OnHealed(bool submitted);
  // An object of the artifact store that a fault takes, or changes; and one that is stored whole.
  void OnLost(const std::string& key) { lost_.insert(key); }
  void OnStoredAgain(const std::string& key) { lost_.erase(key); }
  // What the coordinator takes for lost of what a task reads, after it looked for those that its holder named.
  void OnFoundLost(const std::vector<Digest>& named, const std::vector<Digest>& inputs,
                   const std::vector<Digest>& lost);
  // An object of the artifact store that is deleted just now.
  void OnDelete(std::string_view key);
  // In liveness mode, when every job ended long ago. `all_gone`: whether the artifact store is empty.
  void OnTidied(bool all_gone);
  // At the end of a run: a job as the journal has it.
  void OnStored(const JobSnapshot& job);

  // A worker came out with other bytes than a right one would have; and an artifact that is wrong, with whose errors.
  void OnComputedWrong(const std::string& worker) { wrong_workers_.insert(worker); }
  void OnWrong(const Digest& artifact, const std::vector<std::string>& origins) { wrong_[artifact] = origins; }
  // Of an artifact that may be wrong; empty: it is right.
  std::vector<std::string> OriginsOf(const Digest& artifact) const;

  void Violate(Invariant invariant, const std::string& text);

  bool AllEnded() const;
  // Jobs that did not end, for messages.
  std::string Standing() const;
  const std::optional<Violation>& violation() const { return violation_; }  // the first one
  // How often each invariant was checked.
  const std::array<std::int64_t, kInvariants.size()>& checks() const { return checks_; }
  int grants() const { return static_cast<int>(granted_.size()); }
  // How often audits came to each outcome.
  const std::array<std::int64_t, kAllAuditOutcomes.size()>& audits() const { return audits_; }
  int tasks() const;
  int ended_with(JobState state) const;
  std::vector<std::string> job_ids() const;

 private:
  // A worker that a task did not succeed on.
  struct Trial {
    std::string worker;
    FailureClass failure_class = FailureClass::kTransient;
    bool lost = false;
    bool refuted = false;
    bool outlived = false;  // a checkpoint held more of the task since
  };
  // A task that a worker failed.
  struct Blame {
    std::string task_id;
    WallTime time;
    bool refuted = false;
    bool in_a_row = true;
  };
  struct KnownWorker {
    WorkerRecord record;        // as the journal has it
    MonotonicTime free_at;      // the end of its quarantine
    MonotonicTime next_probe;   // while it is suspect
    std::vector<Blame> blames;  // since it was last cleared or put in quarantine
  };
  // What the latest transition did with the task that it is about.
  struct Attempt {
    int index = -1;              // none
    std::optional<Trial> trial;  // it did not succeed
    bool revoked = false;        // its holder is in quarantine
    bool got_further = false;
    bool kept_more = false;  // a checkpoint held more of the layer than any before
  };

  // What is known of a task beyond the journal.
  struct Watch {
    MonotonicTime ready_since;  // or since the last restart
    MonotonicTime rest_until;   // not granted before
    WorkerKey failed_on;        // and not to this worker before `avoid_until`, if another one is there
    MonotonicTime avoid_until;
    MonotonicTime last_sign;  // of the holder, honoured
    MonotonicTime last_progress;
    std::uint64_t progress_counter = 0;
    std::vector<Trial> trials;
    std::int64_t reopened = 0;                   // number of the transition that had it made again, 0: none
    std::int64_t committed = 0;                  // of its latest commit
    std::map<int, std::set<std::string>> parts;  // who had a part in which layer; the end of the shard: its boundary
    std::set<std::string> answered;              // of an audit: who completed it since it last began anew
    std::optional<TaskCheckpoint> acknowledged;  // the latest that a worker was told of, of the layer that comes next
  };
  struct Known {
    JobSnapshot job;
    std::vector<Watch> watches;  // by task index
  };
  struct Place {
    Known* known = nullptr;
    const Task* task = nullptr;
    Watch* watch = nullptr;
  };

  // Formats only what failed.
  template <typename... Parts>
  void Require(Invariant invariant, bool condition, const Parts&... parts) {
    ++checks_[static_cast<std::size_t>(invariant)];
    if (!condition) Violate(invariant, (std::string() + ... + std::string(parts)));
  }

  Place Find(const std::string& task_id);
  MonotonicTime now() const { return world_.now().monotonic; }

  // What happened to the journal while a batch was recorded, before its proposal `index` was answered.
  struct Step {
    std::size_t index = 0;
    std::optional<Transition> stored;
    std::optional<JobStore::State> loaded;
  };

  // sim_checker.cc: what the journal stored
  void NoteJournaled(const Transition& transition);
  void NoteLoaded(const JobStore::State& state);
  void CheckCreation(const JobSnapshot& job);
  void CheckEvents(const JobSnapshot& before, const Transition& transition);
  void CheckJob(JobState before, const JobSnapshot& after);
  bool IsStored(const Digest& artifact) const;
  // sim_tasks.cc: what a task may become, keep and publish
  void CheckTask(Known& known, const Transition& transition, const Transition::TaskChange& change);
  void CheckGrant(Known& known, const Task& before, const Transition& transition, const TaskStatus& after);
  void CheckCheckpoint(const Known& known, const Task& before, const TaskStatus& after);
  void CheckCommit(const Known& known, const Task& before, const TaskStatus& after);
  void CheckLayer(const JobSnapshot& job, const Transition::LayerChange& change);
  // sim_repair.cc: what the store loses
  bool IsAwaited(const Task& task) const;
  RepairStatus ExpectedRepair(const JobSnapshot& job, const Task& before, const TaskStatus& after) const;
  void CheckRepair(const Known& known, const Task& before, const TaskStatus& after, const Transition& transition);
  bool MayBeGone(const Known& known, const Task& reader) const;
  bool IsThere(const Digest& artifact) const {
    return IsStored(artifact) || lost_.contains(ArtifactStore::KeyOf(artifact));
  }
  // sim_audit.cc: what is done a second time
  static bool HasTrigger(const Transition& transition, const std::string& task_id, TaskTrigger trigger);
  static bool IsAuditStep(const Transition& transition);
  void CheckAudit(const Known& known, const Task& before, const TaskStatus& after, const Transition& transition);
  void CheckOverturned(const Known& known, const Task& before, const TaskStatus& after, const Transition& transition);
  void NoteParts(Known& known, const Transition& transition);
  bool MayAudit(const Known& known, const Task& audit, const std::string& worker) const;
  bool MayHave(const Known& known, const Task& task, const std::string& worker) const {
    return !AuditedBy(task.description) || MayAudit(known, task, worker);
  }
  bool IsVouchedFor(const JobSnapshot& job, const std::string& task_id) const;
  void CheckManifest(const JobSnapshot& job, const Digest& manifest, const std::string& id);
  // sim_failures.cc: failures, rests, and leases that end
  void CheckHolder(const Task& before, const TaskStatus& after, const Watch& watch);
  void CheckFailures(const Task& before, const TaskStatus& after, const Watch& watch);
  void CheckRest(const Watch& watch, const Known& known, const Task& task, const TaskStatus& after);
  void NoteRest(const Task& before, const TaskStatus& after, const Transition& transition, Watch& watch);
  FailureCounts ExpectedCounts(const Task& before) const;
  bool IsSilent(const Watch& watch) const { return now() - watch.last_sign >= options_.lease_ttl; }
  bool HasAnotherWorker(const std::string& numerics_class, const std::string& name,
                        const std::function<bool(const std::string&)>& condition) const;
  bool MayHaveAnotherWorker(const std::string& name, const std::function<bool(const std::string&)>& condition) const;
  bool MayBeKeptFrom(const Watch& watch, const std::string& name) const;
  bool MayBeGranted(const Watch& watch, const Known& known, const Task& task, const std::string& numerics_class,
                    const std::string& name) const;
  bool IsPoison(const Watch& watch, const FailureCounts& counts) const;
  // sim_quarantine.cc: who is trusted, and why
  void NoteAttempt(const Transition& transition);
  void NoteBlame(const Task& task);
  void NoteSuccess(const Task& task);
  void NoteWorkers(const Transition& transition);
  void NoteLoadedWorkers(const JobStore::State& state);
  void KeepTrials(Known& known);
  void CheckQuarantine(const WorkerRecord& before, const WorkerRecord& after);
  bool IsConvicted(const WorkerRecord& before, const WorkerRecord& after);
  void CheckJudged(const std::string& worker, const std::string& numerics_class);
  bool IsGuilty(const std::string& worker) const;
  void CheckGivenWork(const WorkerKey& holder, const std::string& task_id);
  void NoteDevices(const WorkerKey& worker, const std::vector<DeviceHealth>& devices, const absl::Status& answer);
  bool MayBeUsable(const WorkerKey& worker) const;
  bool IsSurelyUsable(const WorkerKey& worker) const;
  bool MayWantReboot(const WorkerKey& worker) const;
  bool SurelyWantsReboot(const WorkerKey& worker) const;
  void CheckNothingHeld();
  static bool SpeaksAgainstWorker(const Trial& trial);
  WorkerTrust TrustOf(const std::string& name) const;
  bool MayBeStopped(const std::string& numerics_class) const;
  std::string ClassOf(const std::string& name) const;
  int FailedTasks(const std::string& worker, const std::function<bool(const Blame&)>& counts) const;
  std::set<std::string> Present(const std::string& numerics_class) const;
  // sim_answers.cc: what was answered
  void NoteAnswer(const Event& event, const absl::StatusOr<Decision>& decision);
  void Check(const SubmitJob& event, const absl::StatusOr<Decision>& decision);
  void Check(const CancelJob& event, const absl::StatusOr<Decision>& decision);
  void Check(const RegisterWorker& event, const absl::StatusOr<Decision>& decision);
  void Check(const PollTask& event, const absl::StatusOr<Decision>& decision);
  void Check(const RenewLease& event, const absl::StatusOr<Decision>& decision);
  void Check(const PublishLayer& event, const absl::StatusOr<Decision>& decision);
  void Check(const CheckpointTask& event, const absl::StatusOr<Decision>& decision);
  void Check(const CompleteTask& event, const absl::StatusOr<Decision>& decision);
  void Check(const FailTask& event, const absl::StatusOr<Decision>& decision);
  void Check(const ReleaseTask& event, const absl::StatusOr<Decision>& decision);
  void Check(const ReleaseWorker& event, const absl::StatusOr<Decision>& decision);
  void Check(const Tick& event, const absl::StatusOr<Decision>& decision);
  void Check(const ForgiveSilence& event, const absl::StatusOr<Decision>& decision);
  // Of those that were told that they hold a task, whoever still does has a full ttl.
  void NoteExtended(const Task& task);
  void CheckExtended(const Ledger& ledger);
  // A holder whose task is being cancelled is told so, and nothing else.
  void CheckEpoch(const Lease& lease, const absl::Status& answer);
  void CheckTold(const Lease& lease, const absl::Status& refusal);
  void CheckStarvation(const WorkerKey& worker);

  SimWorld& world_;
  const ObjectStore& objects_;
  const SchedulerOptions options_;
  absl::Span<Proposal* const> batch_;  // under way
  std::deque<Step> steps_;             // of it
  const Event* event_ = nullptr;       // the latest
  Attempt attempt_;
  std::string job_of_attempt_;
  std::set<std::pair<std::string, std::int64_t>> extended_;  // (task, epoch), in this batch
  std::map<std::string, Known> known_;                       // by job id
  std::map<std::string, KnownWorker> workers_;               // by name
  std::map<WorkerKey, std::string> class_of_;
  std::map<WorkerKey, MonotonicTime> last_call_;  // honoured, since the coordinator last read its journal
  std::map<WorkerKey, MonotonicTime> last_sign_;  // of each that called, honoured or not
  // Of its one device: what was reported last and honoured, then what was reported since with a call that the coordinator may
  // have heard, although it could not answer.
  std::map<WorkerKey, std::vector<DeviceCondition>> conditions_of_;
  std::set<std::pair<std::string, std::int64_t>> granted_;  // (task, epoch)
  std::set<std::string> named_;                       // keys of artifacts that a job named, until they are deleted
  std::map<Digest, std::vector<std::string>> wrong_;  // artifacts, with whose errors they are made of
  std::set<std::string> wrong_workers_;               // that computed wrong at least once
  std::set<std::string> lost_;  // keys of artifacts that a fault took, until they are stored again
  std::int64_t transitions_ = 0;
  std::int64_t generation_ = 0;      // of the journal, as it was last read
  bool rollback_suspected_ = false;  // since then: nothing may be granted before a generation begins
  std::int64_t last_sequence_ = 0;
  std::array<std::int64_t, kInvariants.size()> checks_{};
  std::array<std::int64_t, kAllAuditOutcomes.size()> audits_{};
  std::optional<Violation> violation_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_CHECKER_H_
