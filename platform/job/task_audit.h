#ifndef GPTVQ_PLATFORM_JOB_TASK_AUDIT_H_
#define GPTVQ_PLATFORM_JOB_TASK_AUDIT_H_

#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/sha256.h"

namespace gptvq {

// Who made the artifacts of a task, and what others came to that were asked to make them a second time (docs/protocol.md,
// "Audits"). Plain values.

// A worker that had a part in a layer of a task's shard, and in those behind it up to the next entry's layer. A layer that was
// finished from another worker's checkpoint has several.
struct LayerAuthor {
  int layer = 0;
  std::string worker_name;

  friend bool operator==(const LayerAuthor&, const LayerAuthor&) = default;
};

// What a worker came to for a shard: the digests of its packed layers and of the boundary behind it.
struct AuditAnswer {
  std::string worker_name;
  std::vector<Digest> layers;
  std::optional<Digest> output_boundary;

  friend bool operator==(const AuditAnswer&, const AuditAnswer&) = default;
};

// How an audit ended, or what it found on its way; mirrors gptvq.v1.AuditOutcome.
enum class AuditOutcome {
  kAgreed,      // two workers came to the bytes that are published
  kUpheld,      // two workers came to the bytes that are published, a third to others
  kOverturned,  // two workers came to other bytes than were published; the task was made again
  kSkipped,     // there was no other worker to ask
  kGivenUp,     // the second run failed too often
  kUndecided,   // everybody came to something else, or there was nobody left to decide; the job fails
};
inline constexpr std::array kAllAuditOutcomes = {AuditOutcome::kAgreed,     AuditOutcome::kUpheld,
                                                 AuditOutcome::kOverturned, AuditOutcome::kSkipped,
                                                 AuditOutcome::kGivenUp,    AuditOutcome::kUndecided};
std::string_view Name(AuditOutcome outcome);  // agreed, overturned, ...

// One column of a task's row of the journal.
struct AuditStatus {
  std::vector<LayerAuthor> authors;  // of what a capture or quantize task made; ascending by layer
  int overturned = 0;                // how often the task was made again because it was wrong or might be
  bool may_differ = false;           // it is being made again, and what comes may be other than before
  std::vector<Digest> layers;        // of an audit task: what its holder came to so far
  std::vector<AuditAnswer> answers;  // of an audit task: beside what is published; each by another worker
  std::optional<AuditOutcome> outcome;

  friend bool operator==(const AuditStatus&, const AuditStatus&) = default;
};

// Takes down that a worker kept a checkpoint of `layer`. Precondition: no entry is of a later layer.
void NotePart(std::vector<LayerAuthor>& authors, int layer, const std::string& worker_name);
// The same for one that published the layer, or the boundary behind it: entries that say no more than those before them go.
void NotePublication(std::vector<LayerAuthor>& authors, int layer, const std::string& worker_name);
// Who had a part in `layer`.
std::set<std::string> AuthorsOf(const std::vector<LayerAuthor>& authors, int layer);
bool HasPart(const std::vector<LayerAuthor>& authors, std::string_view worker_name);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_TASK_AUDIT_H_
