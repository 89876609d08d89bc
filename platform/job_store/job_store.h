#ifndef GPTVQ_PLATFORM_JOB_STORE_JOB_STORE_H_
#define GPTVQ_PLATFORM_JOB_STORE_JOB_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/job/transition.h"

namespace gptvq {

// The journal of the coordinator: jobs, tasks, published layers, events and doomed artifacts, durable. Whatever Append() acknowledged survives
// the death of the process and of the machine; whatever it refused did not happen. Thread-safe.
class JobStore {
 public:
  struct State {
    std::vector<JobSnapshot> active_jobs;  // those that have not ended, by sequence
    std::int64_t last_sequence = 0;        // greatest of all jobs; 0 without jobs
    std::vector<DoomedArtifact> doomed_artifacts = {};
    std::vector<WorkerRecord> workers = {};  // by name; none that IsBlank
    std::int64_t generation = 0;             // rises whenever the store may have forgotten what it acknowledged
  };

  // Which jobs a list holds. Newest first.
  struct Query {
    std::vector<JobState> states;                 // empty: all
    std::optional<std::int64_t> before_sequence;  // only older ones
    std::optional<std::string> owner = {};        // only those of this one
    int limit = 50;
  };

  virtual ~JobStore() = default;

  // What a coordinator that starts goes on from. Where coordinators share the store, the caller leads from then on.
  // A store that finds itself somewhere else than before (a copy of the file, another server, another timeline of its
  // history) begins a new generation.
  // Errors: DataLoss (the store is damaged, naming the record), Unavailable, also while another one leads (NOT_LEADING).
  virtual absl::StatusOr<State> LoadActive() = 0;

  // Begins a generation greater than the current one and than `after`, durably: something shows that the store has forgotten
  // what it acknowledged. The caller must load again. Errors: those of Append.
  virtual absl::Status BeginGeneration(std::int64_t after) = 0;

  // Stores all of `transitions`, in order, or nothing of any, and returns when they are durable, at the price of one. A row is
  // written only over its previous revision, so that a writer with an outdated memory can never undo what another one stored.
  // Errors: NotFound (no such job), Aborted (a row is not at the previous revision, or an artifact not in the state before its
  // step), AlreadyExists (the job, its request id, or a doomed artifact), ResourceExhausted (disk full), Unavailable. After an error the caller must load again before it goes on: its memory
  // may be behind the store.
  virtual absl::Status AppendAll(absl::Span<const Transition* const> transitions) = 0;
  // The same for one.
  absl::Status Append(const Transition& transition) {
    const Transition* const one = &transition;
    return AppendAll({&one, 1});
  }

  // Whether this process is still the one that may append, as far as it knows; where it is not, it must load again, and what it
  // remembers may be outdated. A store with one owner is always led by it. No I/O. Errors: Unavailable (NOT_LEADING).
  virtual absl::Status CheckLeading() const { return absl::OkStatus(); }

  // Errors of the reads: NotFound (no such job), DataLoss, Unavailable.
  virtual absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) = 0;
  // The job that was submitted under this id, if any.
  virtual absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view request_id) = 0;
  // By layer; empty for an unknown job.
  virtual absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view job_id) = 0;
  // At most `limit` events with a greater number, in order; empty for an unknown job.
  virtual absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after_seq,
                                                           int limit) = 0;
  // Snapshots without tasks and layers.
  virtual absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) = 0;

  // 32 bytes that were drawn at random when the store was made: the key of lease tokens and page tokens.
  virtual absl::StatusOr<std::string> Secret() = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_JOB_STORE_H_
