#ifndef GPTVQ_SERVER_DOOMED_ARTIFACTS_H_
#define GPTVQ_SERVER_DOOMED_ARTIFACTS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job/instant.h"
#include "platform/job/transition.h"

namespace gptvq {

// What becomes of artifacts that nobody needs.
struct GarbageOptions {
  // Between an artifact's last use and its deletion. Layers have a long one: a journal that is restored from a backup no older
  // than this finds what its jobs need. Boundaries and checkpoints have a short one, because they
  // are large or many, and computed again if need be.
  std::chrono::milliseconds artifact_grace{86'400'000};
  std::chrono::milliseconds boundary_grace{600'000};
  // Artifacts that no job names, for instance of a worker that died before it could say what it had stored. Nullopt: kept.
  std::optional<std::chrono::milliseconds> unknown_grace = {};
  // For so long a deletion may still take effect after nobody knows how it went: longer than any request to the store lives.
  std::chrono::milliseconds settle_time{60'000};
  int max_deleting = 64;           // at a time
  int max_unknown_found = 10'000;  // by one survey
};

// How many deletions ended so far, as far as one process knows: what is in the store at one count, and not being deleted at the
// same count later, is still there.
using DeletionCount = std::uint64_t;

// Which artifacts nobody needs any more, and which of them are being deleted: the journal's rows in memory. Decides, as the
// scheduler does, without touching anything: a plan is journaled first and applied then. Thread-compatible. No clock, no I/O.
//
// An artifact is needed while a job that has not ended names it: its published layers, the checkpoints of its tasks, and the
// boundaries that one of its tasks has still to read. Invariants: nothing that is needed is ever DELETING; no commit names what is DELETING.
class DoomedArtifacts {
 public:
  explicit DoomedArtifacts(const GarbageOptions& options) : options_(options) {}

  // Begins from what the journal holds. Deletions that others began may be under way.
  void Restore(std::vector<DoomedArtifact> rows, MonotonicTime now);

  // What a transition of `job`, as it is before, does to artifacts: those it names for the first time are spared, those that the
  // job needs no more are doomed. `seen` is the count before the caller looked whether what it names is stored; nullopt when
  // nothing can have been deleted since. A new job has none.
  // Errors: Unavailable (ARTIFACT_DELETING) when what it names is not in the store for certain.
  absl::StatusOr<std::vector<DoomChange>> ConsequencesOf(const Transition& transition, const JobSnapshot& job,
                                                         std::optional<DeletionCount> seen, WallTime now) const;

  // What to begin to delete: what was doomed for long enough by either clock (the wall clock may go back, the other begins anew
  // with the process), and is needed by none of `jobs`. What one of them needs is spared.
  Transition PlanDeletions(const std::map<std::int64_t, JobSnapshot>& jobs, Instant now) const;
  // What to forget of artifacts that were deleted: all but those whose deletion has still to settle.
  Transition PlanForgetting(const std::vector<Digest>& deleted, MonotonicTime now) const;
  // What to doom of the artifacts in the store: those that neither `jobs` nor a row name. Rows of unknown artifacts that are not
  // in the store any more are spared.
  Transition PlanUnknown(const std::vector<Digest>& stored, const std::map<std::int64_t, JobSnapshot>& jobs,
                         WallTime now) const;

  // Precondition: of the latest plan or consequences.
  void Apply(const std::vector<DoomChange>& changes, MonotonicTime now);
  // Nobody knows whether these were deleted, or will be.
  void NoteInDoubt(const std::vector<Digest>& artifacts, MonotonicTime now);

  std::vector<Digest> Deleting() const;
  DeletionCount deletion_count() const { return deletion_count_; }
  const std::map<Digest, DoomedArtifact>& rows() const { return rows_; }

 private:
  // What is known of a row beyond the journal.
  struct Watch {
    MonotonicTime known_since;
    std::optional<MonotonicTime> settled;  // of a deletion in doubt: not forgotten before
  };

  // Nullopt: never.
  std::optional<std::chrono::milliseconds> GraceOf(ArtifactKind kind) const;
  bool IsDue(const DoomedArtifact& row, Instant now) const;
  absl::Status CheckMayBeNamed(const Digest& artifact, std::optional<DeletionCount> seen) const;

  const GarbageOptions options_;
  std::map<Digest, DoomedArtifact> rows_;
  std::map<Digest, Watch> watches_;  // of every row
  DeletionCount deletion_count_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_DOOMED_ARTIFACTS_H_
