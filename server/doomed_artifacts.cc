#include "server/doomed_artifacts.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

using Jobs = std::map<std::int64_t, JobSnapshot>;

std::optional<Digest> BoundaryOf(const TaskStatus& status) {
  return status.result ? OutputBoundary(*status.result) : std::nullopt;
}

// Everything that a job which has not ended needs.
void AddNeeded(const JobSnapshot& job, std::set<Digest>& needed) {
  if (IsTerminal(job.status.state)) return;
  needed.insert(job.layers.begin(), job.layers.end());
  for (const Task& task : job.tasks) {
    if (task.status.checkpoint) needed.insert(task.status.checkpoint->artifact);
  }
  for (const Task& task : job.tasks) {
    if (!task.description.input_boundary_of || IsTerminal(task.status.state)) continue;
    const auto boundary = BoundaryOf(job.tasks[*task.description.input_boundary_of].status);
    if (boundary) needed.insert(*boundary);
  }
}

std::set<Digest> NeededBy(const Jobs& jobs) {
  std::set<Digest> needed;
  for (const auto& [sequence, job] : jobs) AddNeeded(job, needed);
  return needed;
}

// Whether `after` names a checkpoint that `before` does not.
bool IsNewCheckpoint(const TaskStatus& after, const TaskStatus& before) {
  return after.checkpoint && (!before.checkpoint || before.checkpoint->artifact != after.checkpoint->artifact);
}

// What a transition makes a job name.
std::vector<Digest> NamedBy(const Transition& transition, const JobSnapshot& job) {
  std::vector<Digest> named;
  if (transition.layer) named.push_back(transition.layer->layer.artifact);
  for (const Transition::TaskChange& change : transition.tasks) {
    const auto boundary = BoundaryOf(change.status);
    if (boundary && change.status.state == TaskState::kCommitted) named.push_back(*boundary);
    if (IsNewCheckpoint(change.status, job.tasks[change.index].status)) {
      named.push_back(change.status.checkpoint->artifact);
    }
  }
  return named;
}

// The tasks whose boundary a transition may have made useless: no task that reads it is open any more.
std::set<int> ProducersWithoutReaders(const Transition& transition, const JobSnapshot& job) {
  std::map<int, TaskState> changed;
  std::set<int> producers;
  for (const Transition::TaskChange& change : transition.tasks) {
    changed[change.index] = change.status.state;
    if (!IsTerminal(change.status.state)) continue;
    producers.insert(change.index);
    const std::optional<int>& input = job.tasks[change.index].description.input_boundary_of;
    if (input) producers.insert(*input);
  }
  if (producers.empty()) return producers;
  for (const Task& task : job.tasks) {
    if (!task.description.input_boundary_of) continue;
    const auto change = changed.find(task.description.index);
    const TaskState state = change == changed.end() ? task.status.state : change->second;
    if (!IsTerminal(state)) producers.erase(*task.description.input_boundary_of);
  }
  return producers;
}

// What a job needed before a transition, or comes to name by it, and does not need after it.
std::map<Digest, ArtifactKind> DyingBy(const Transition& transition, const JobSnapshot& job) {
  std::map<Digest, ArtifactKind> dying;
  const std::set<int> producers = ProducersWithoutReaders(transition, job);
  for (int index : producers) {
    if (const auto boundary = BoundaryOf(job.tasks[index].status)) dying.emplace(*boundary, ArtifactKind::kBoundary);
  }
  for (const Transition::TaskChange& change : transition.tasks) {
    const auto boundary = BoundaryOf(change.status);
    if (boundary && producers.contains(change.index)) dying.emplace(*boundary, ArtifactKind::kBoundary);
    const TaskStatus& before = job.tasks[change.index].status;
    const auto boundary_before = BoundaryOf(before);
    if (boundary_before && boundary_before != boundary) dying.emplace(*boundary_before, ArtifactKind::kBoundary);
    if (IsNewCheckpoint(before, change.status)) dying.emplace(before.checkpoint->artifact, ArtifactKind::kCheckpoint);
  }
  for (int layer : transition.overturned_layers) dying.emplace(job.layers[layer], ArtifactKind::kLayer);
  if (!transition.job || !IsTerminal(transition.job->state)) return dying;
  for (const Digest& layer : job.layers) {
    if (layer != Digest()) dying.emplace(layer, ArtifactKind::kLayer);
  }
  return dying;
}

}  // namespace

void DoomedArtifacts::Restore(std::vector<DoomedArtifact> rows, MonotonicTime now) {
  rows_.clear();
  watches_.clear();
  ++deletion_count_;
  for (const DoomedArtifact& row : rows) {
    rows_[row.artifact] = row;
    watches_[row.artifact].known_since = now;
  }
  NoteInDoubt(Deleting(), now);
}

absl::StatusOr<std::vector<DoomChange>> DoomedArtifacts::ConsequencesOf(const Transition& transition,
                                                                        const JobSnapshot& job,
                                                                        std::optional<DeletionCount> seen,
                                                                        WallTime now) const {
  std::vector<DoomChange> changes;
  const std::map<Digest, ArtifactKind> dying = DyingBy(transition, job);
  for (const Digest& artifact : NamedBy(transition, job)) {
    GPTVQ_RETURN_IF_ERROR(CheckMayBeNamed(artifact, seen));
    const auto row = rows_.find(artifact);
    if (row != rows_.end() && !dying.contains(artifact)) changes.push_back({DoomStep::kSpare, row->second});
  }
  for (const auto& [artifact, kind] : dying) {
    if (!rows_.contains(artifact)) changes.push_back({DoomStep::kDoom, {artifact, kind, DoomState::kDoomed, now}});
  }
  return changes;
}

absl::Status DoomedArtifacts::CheckMayBeNamed(const Digest& artifact, std::optional<DeletionCount> seen) const {
  const auto row = rows_.find(artifact);
  if (row != rows_.end() && row->second.state == DoomState::kDeleting) {
    return Refuse(ErrorReason::kArtifactDeleting, absl::StrCat("artifact ", artifact.hex(), " is being deleted"));
  }
  if (seen && *seen != deletion_count_) {
    return Refuse(ErrorReason::kArtifactDeleting,
                  absl::StrCat("artifacts were deleted while ", artifact.hex(), " was looked for"));
  }
  return absl::OkStatus();
}

Transition DoomedArtifacts::PlanDeletions(const Jobs& jobs, Instant now) const {
  Transition plan;
  std::optional<std::set<Digest>> needed;  // only if anything is due
  auto room = options_.max_deleting - static_cast<std::int64_t>(Deleting().size());
  for (const auto& [artifact, row] : rows_) {
    if (room <= 0) break;
    if (row.state != DoomState::kDoomed || !IsDue(row, now)) continue;
    if (!needed) needed = NeededBy(jobs);
    const bool spared = needed->contains(artifact);
    plan.artifacts.push_back({spared ? DoomStep::kSpare : DoomStep::kBeginDelete, row});
    --room;
  }
  return plan;
}

Transition DoomedArtifacts::PlanForgetting(const std::vector<Digest>& deleted, MonotonicTime now) const {
  Transition plan;
  for (const Digest& artifact : deleted) {
    const auto row = rows_.find(artifact);
    if (row == rows_.end() || row->second.state != DoomState::kDeleting) continue;  // the journal was read anew
    const std::optional<MonotonicTime>& settled = watches_.at(artifact).settled;
    if (!settled || now >= *settled) plan.artifacts.push_back({DoomStep::kForget, row->second});
  }
  return plan;
}

Transition DoomedArtifacts::PlanUnknown(const std::vector<Digest>& stored, const Jobs& jobs, WallTime now) const {
  Transition plan;
  const std::set<Digest> needed = NeededBy(jobs);
  for (const Digest& artifact : stored) {
    if (needed.contains(artifact) || rows_.contains(artifact)) continue;
    if (static_cast<int>(plan.artifacts.size()) == options_.max_unknown_found) break;
    plan.artifacts.push_back({DoomStep::kDoom, {artifact, ArtifactKind::kUnknown, DoomState::kDoomed, now}});
  }
  const std::set<Digest> there(stored.begin(), stored.end());
  for (const auto& [artifact, row] : rows_) {
    const bool gone = row.kind == ArtifactKind::kUnknown && !there.contains(artifact);
    if (gone && row.state == DoomState::kDoomed) plan.artifacts.push_back({DoomStep::kSpare, row});
  }
  return plan;
}

void DoomedArtifacts::Apply(const std::vector<DoomChange>& changes, MonotonicTime now) {
  for (const DoomChange& change : changes) {
    const Digest& artifact = change.row.artifact;
    switch (change.step) {
      case DoomStep::kDoom:
        rows_[artifact] = change.row;
        watches_[artifact] = {now, {}};
        break;
      case DoomStep::kSpare:
        rows_.erase(artifact);
        watches_.erase(artifact);
        break;
      case DoomStep::kBeginDelete: rows_.at(artifact).state = DoomState::kDeleting; break;
      case DoomStep::kForget:
        rows_.erase(artifact);
        watches_.erase(artifact);
        ++deletion_count_;
        break;
    }
  }
}

void DoomedArtifacts::NoteInDoubt(const std::vector<Digest>& artifacts, MonotonicTime now) {
  for (const Digest& artifact : artifacts) {
    const auto row = rows_.find(artifact);
    const bool deleting = row != rows_.end() && row->second.state == DoomState::kDeleting;
    if (deleting) watches_.at(artifact).settled = now + options_.settle_time;
  }
}

std::vector<Digest> DoomedArtifacts::Deleting() const {
  std::vector<Digest> deleting;
  for (const auto& [artifact, row] : rows_) {
    if (row.state == DoomState::kDeleting) deleting.push_back(artifact);
  }
  return deleting;
}

std::optional<std::chrono::milliseconds> DoomedArtifacts::GraceOf(ArtifactKind kind) const {
  switch (kind) {
    case ArtifactKind::kLayer: return options_.artifact_grace;
    case ArtifactKind::kBoundary:
    case ArtifactKind::kCheckpoint: return options_.boundary_grace;
    case ArtifactKind::kUnknown: return options_.unknown_grace;
  }
  return std::nullopt;
}

bool DoomedArtifacts::IsDue(const DoomedArtifact& row, Instant now) const {
  const std::optional<std::chrono::milliseconds> grace = GraceOf(row.kind);
  if (!grace) return false;
  return now.wall - row.since >= *grace || now.monotonic - watches_.at(row.artifact).known_since >= *grace;
}

}  // namespace gptvq
