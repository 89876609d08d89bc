#ifndef GPTVQ_SERVER_COORDINATOR_H_
#define GPTVQ_SERVER_COORDINATOR_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/job/lease.h"
#include "server/concurrency_limit.h"
#include "server/coordinator_metrics.h"
#include "server/ledger.h"
#include "server/record_queue.h"

namespace gptvq {

struct CoordinatorOptions {
  SchedulerOptions scheduler;
  GarbageOptions garbage;
  double audit_fraction = 0;  // of the captures and quantize tasks that are done a second time, 0 to 1
  std::chrono::milliseconds tick_period{1'000};  // how late a lost lease may be noticed
  std::chrono::milliseconds max_poll_wait{10'000};
  int max_waiting_polls = 1'024;  // each holds a thread
};

// A job as it stands, with the progress of the tasks being worked on, by task id.
struct StandingJob {
  JobSnapshot job;
  std::map<std::string, TaskProgress> progress;
};

// A worker as it stands.
struct StandingWorker {
  RegisterWorker registration;
  WallTime register_time;
  std::chrono::milliseconds since_last_call{0};
  std::vector<std::string> leased_task_ids;
  std::optional<WorkerRecord> record;  // what speaks or spoke against it
};

// The ledger for many threads: gathers the events that come together, records them under the one mutex, wakes who waits. Nobody
// sees what is not durable: readers take the same mutex. Handlers of both services come through here; a thread of its own lets
// time pass. Borrows everything given to the constructor. Thread-safe.
class Coordinator {
 public:
  Coordinator(JobStore& store, Clock& clock, CoordinatorMetrics& metrics, const CoordinatorOptions& options);
  ~Coordinator();

  // Told whether this coordinator can do its work: OK, or why not (NOT_LEADING, JOURNAL_UNAVAILABLE). Called once by Start() and
  // whenever that changes, until Drain(); must neither block nor call back.
  using ReadinessObserver = std::function<void(const absl::Status&)>;

  // Reads the journal and starts the ticking. While another coordinator leads, this one stands by and takes over at the first
  // tick that finds no leader. To be called once. Errors: those of JobStore but NOT_LEADING.
  absl::Status Start(ReadinessObserver observer);

  // Errors: Unavailable (NOT_READY) until Start() is through.
  absl::Status CheckLoaded() const;

  // From now on submissions, registrations and polls are refused with STOPPING, and whoever waits returns. What workers
  // report is still recorded.
  void Drain();

  // Records an event other than PollTask. Who records that an artifact is stored names in `seen` the deletion_count() that it
  // read before it looked. Errors: those of Ledger; STOPPING.
  absl::StatusOr<Decision> Record(const Event& event, std::optional<DeletionCount> seen = std::nullopt);
  DeletionCount deletion_count() const;
  // As Ledger::WasRecorded.
  absl::StatusOr<bool> WasRecorded(const Event& event);

  // Records a poll, waiting for a task up to `wait`. Before it records it, and once more whenever there may be work, it asks
  // `abandoned` whether anybody wants the answer still, so that no task is granted to a connection that is gone. With too
  // many polls waiting it does not wait.
  absl::StatusOr<Decision> Poll(const PollTask& poll, std::chrono::milliseconds wait,
                                absl::FunctionRef<bool()> abandoned);

  // What the poll that was granted a task is told about it; nullopt when the task was lost again already, to somebody who
  // must not be impersonated. Errors: those of Ledger::CheckInStep and JobStore::ReadLayers.
  absl::StatusOr<std::optional<TaskGrant>> FindGrant(const std::string& task_id, const PollTask& poll) const;

  // Whether a call comes from the holder of a task, without recording anything. Errors: those of Ledger::CheckHolder.
  absl::Status CheckHolder(const Lease& lease);

  // Whether a task may be worked on under an epoch, by whomever: also for an epoch that this journal has not granted yet. Errors:
  // those of Ledger::CheckInStep.
  absl::StatusOr<bool> MayBeHeld(std::string_view task_id, std::int64_t epoch) const;

  // The artifacts that the holder of a task was granted to read; none for who does not hold it. Errors: as CheckHolder, but for
  // those that say so.
  absl::StatusOr<std::vector<Digest>> InputsOf(const Lease& lease) const;

  // From the journal on standby, then without progress. Errors: NotFound (JOB_UNKNOWN); those of JobStore.
  absl::StatusOr<StandingJob> FindJob(std::string_view job_id) const;
  // Who submitted a job. Errors: as FindJob.
  absl::StatusOr<std::string> OwnerOf(std::string_view job_id) const;
  // Errors: those of Ledger::CheckInStep.
  absl::StatusOr<std::vector<StandingWorker>> ListWorkers() const;

  // Where a watcher of a job is.
  struct News {
    std::int64_t last_event_seq = 0;
    std::uint64_t progress_version = 0;  // of the coordinator; changes with every report of progress
  };
  // Returns when the job has a later event, when a worker reported progress, when draining begins, or after `timeout`; then
  // what is new. Errors: those of FindJob and Ledger::CheckInStep; STOPPING.
  absl::StatusOr<News> WaitForNews(std::string_view job_id, const News& seen, std::chrono::milliseconds timeout) const;

  // Garbage, as in Ledger.
  absl::StatusOr<std::vector<Digest>> BeginDeletions();
  absl::StatusOr<std::vector<Digest>> EndDeletions(const std::vector<Digest>& deleted,
                                                   const std::vector<Digest>& in_doubt);
  absl::Status DoomUnknown(const std::vector<Digest>& stored);
  std::vector<DoomedArtifact> ListDoomed() const;

  Instant Now() const { return gptvq::Now(clock_); }
  const CoordinatorOptions& options() const { return options_; }
  JobStore& store() const { return store_; }

 private:
  // The same status; counts it if it shows a rollback.
  absl::Status CountRollback(absl::Status status);
  // Answers every proposal, with mutex_ held.
  void RecordLocked(absl::Span<Proposal* const> batch);
  absl::StatusOr<Decision> RecordLocked(const Event& event);
  void WakePolls();
  void LetTimePass();
  void NoticeOwnSilence();
  // OK when the ledger is in step and the metrics know what was published before it was.
  absl::Status CatchUp();
  void ShowReadiness(const absl::Status& readiness);
  void ShowStanding(const absl::Status& readiness);
  void RunTicker(std::stop_token stop);

  JobStore& store_;
  Clock& clock_;
  CoordinatorMetrics& metrics_;
  const CoordinatorOptions options_;
  ConcurrencyLimit waiting_polls_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;  // for watchers: any change
  std::condition_variable work_changed_;     // for polls: work_version_ or draining_
  // Guarded by mutex_:
  Ledger ledger_;
  ReadinessObserver observer_;
  std::optional<bool> ready_;  // as the observer knows it
  bool draining_ = false;
  MonotonicTime last_tick_;  // of the ticker, after it had the mutex
  std::uint64_t progress_version_ = 0;
  // Written with mutex_ held, read without:
  std::atomic<std::uint64_t> work_version_ = 0;  // rises when a poll may find something that it did not find before
  std::atomic<bool> loaded_ = false;

  RecordQueue queue_{mutex_};

  std::jthread ticker_;  // last: it stops before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_COORDINATOR_H_
