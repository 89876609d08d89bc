// What the checker knows of tasks: how they may change, who may be granted them, and what they keep, publish and commit.

#include <algorithm>

#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

bool IsEnding(JobState state) {
  return state == JobState::kCancelling || state == JobState::kFailing || IsTerminal(state);
}

// The states a task may pass into, by what happens; written down here a second time, on purpose. A task is cancelled by
// whatever ends its job.
bool MayFollow(TaskState from, TaskState to, const Event& event) {
  const bool over = std::holds_alternative<FailTask>(event) || std::holds_alternative<Tick>(event);
  const bool ends_job = over || std::holds_alternative<CancelJob>(event);
  const bool given_back = over || std::holds_alternative<ReleaseTask>(event);
  switch (from) {
    case TaskState::kBlocked:
      return (to == TaskState::kReady && std::holds_alternative<CompleteTask>(event)) ||
             (to == TaskState::kCancelled && ends_job);
    case TaskState::kReady:
      return (to == TaskState::kLeased && std::holds_alternative<PollTask>(event)) ||
             (to == TaskState::kBlocked && std::holds_alternative<FailTask>(event)) ||
             (to == TaskState::kCancelled && ends_job);
    case TaskState::kLeased:
      return (to == TaskState::kLeased &&
              (std::holds_alternative<PublishLayer>(event) || std::holds_alternative<CheckpointTask>(event))) ||
             (to == TaskState::kCommitted && std::holds_alternative<CompleteTask>(event)) ||
             ((to == TaskState::kReady || to == TaskState::kBlocked) && given_back) ||
             (to == TaskState::kFailed && over) || (to == TaskState::kCancelling && ends_job);
    case TaskState::kCancelling: return to == TaskState::kCancelled && given_back;
    case TaskState::kCommitted:
      return (to == TaskState::kReady || to == TaskState::kBlocked) && std::holds_alternative<FailTask>(event);
    case TaskState::kFailed:
    case TaskState::kCancelled: return false;
  }
  return false;
}

}  // namespace

void SimChecker::CheckTask(Known& known, const Transition& transition, const Transition::TaskChange& change) {
  const Task& before = known.job.tasks[change.index];
  const TaskStatus& after = change.status;
  const Watch& watch = known.watches[change.index];
  const std::string& id = before.description.task_id;
  Require(
      Invariant::kTable,
      IsAuditStep(transition) || AuditedBy(before.description) || MayFollow(before.status.state, after.state, *event_),
      id, " went from ", Name(before.status.state), " to ", Name(after.state));
  if (after.state == TaskState::kLeased && before.status.state != TaskState::kLeased) {
    CheckGrant(known, before, transition, after);
  } else {
    Require(Invariant::kEpochRises, after.epoch == before.status.epoch && after.attempt == before.status.attempt, id,
            " changed its epoch without a grant");
    Require(Invariant::kHolderChanges,
            after.worker_name == before.status.worker_name && after.incarnation == before.status.incarnation, id,
            " changed its holder without a grant");
  }
  CheckAudit(known, before, after, transition);
  if (HasTrigger(transition, id, TaskTrigger::kOverturn)) return CheckOverturned(known, before, after, transition);
  CheckHolder(before, after, watch);
  CheckFailures(before, after, watch);
  CheckRepair(known, before, after, transition);
  CheckCheckpoint(known, before, after);
  if (after.state == TaskState::kCommitted) CheckCommit(known, before, after);
}

void SimChecker::CheckGrant(Known& known, const Task& before, const Transition& transition, const TaskStatus& after) {
  const std::string& id = before.description.task_id;
  const JobStatus& job_before = known.job.status;
  Require(Invariant::kEpochRises, !rollback_suspected_, id, " was granted although a rollback was suspected");
  // The next count, or the first one of a generation that began since.
  const std::int64_t first = (generation_ << 32) + 1;
  const std::int64_t next = before.status.epoch < first ? first : before.status.epoch + 1;
  Require(Invariant::kEpochRises, after.epoch == next && after.attempt == before.status.attempt + 1, id,
          " was granted without the next epoch and attempt");
  Require(Invariant::kGrantedOnce, granted_.insert({id, after.epoch}).second, id, " was granted an epoch twice");
  Require(Invariant::kCancelWins, !IsEnding(job_before.state), id, " was granted although its job is ending");
  for (int dependency : before.description.dependencies) {
    Require(Invariant::kDependenciesFirst, known.job.tasks[dependency].status.state == TaskState::kCommitted, id,
            " was granted before what it depends on");
  }
  const WorkerKey holder = {after.worker_name, after.incarnation};
  const auto* poll = std::get_if<PollTask>(event_);
  Require(Invariant::kHolderChanges, poll != nullptr && poll->worker == holder && poll->poll_id == after.poll_id, id,
          " was granted to somebody who did not ask");
  for (const auto& [job_id, other] : known_) {
    for (const Task& task : other.job.tasks) {
      const TaskStatus& status = task.status;
      Require(Invariant::kGrantedOnce,
              status.state != TaskState::kLeased || status.worker_name != holder.name ||
                  status.incarnation != holder.incarnation || status.poll_id != after.poll_id,
              id, " was granted to a poll that holds ", task.description.task_id);
    }
  }
  const std::string& own_class = class_of_[holder];
  Require(Invariant::kOneClass,
          (job_before.numerics_class.empty() || job_before.numerics_class == own_class) && transition.job &&
              transition.job->numerics_class == own_class,
          id, " was granted to a worker of class ", own_class);
  CheckRest(known.watches[before.description.index], known, before, after);
  CheckGivenWork(holder, id);
}

// What is kept of a layer changes by its holder's checkpoint alone, and goes when the layer is published, when an earlier one is
// found lost, or when nobody will work on it any more.
void SimChecker::CheckCheckpoint(const Known& known, const Task& before, const TaskStatus& after) {
  const std::string& id = before.description.task_id;
  const auto* call = std::get_if<CheckpointTask>(event_);
  const auto* publish = std::get_if<PublishLayer>(event_);
  const auto is_lost = [](const TaskStatus& status, int layer) {
    const std::vector<int>& lost = status.repair.lost_layers;
    return std::find(lost.begin(), lost.end(), layer) != lost.end();
  };
  const auto& kept = before.status.checkpoint;
  const bool published = publish != nullptr && publish->lease.task_id == id;
  if (published || IsTerminal(after.state)) {
    const bool again = published && IsHeld(after.state) && is_lost(before.status, publish->layer.layer);
    Require(Invariant::kKeptWork, !after.checkpoint && after.most_linears == (again ? before.status.most_linears : 0),
            id, " keeps what it needs no more");
    return;
  }
  const LayerRange range = before.description.layers;
  int next = range.begin;
  while (next < range.end && known.job.layers[next] != Digest() && !is_lost(after, next)) ++next;
  if (call == nullptr || call->lease.task_id != id) {
    const bool outrun = kept && kept->layer != next && is_lost(after, next) && !is_lost(before.status, next);
    Require(Invariant::kKeptWork,
            after.checkpoint == (outrun ? std::nullopt : kept) && after.most_linears == before.status.most_linears, id,
            " lost what was kept of it");
    return;
  }
  Require(Invariant::kKeptWork,
          after.checkpoint == call->checkpoint && call->checkpoint.layer == next && next < range.end &&
              (!kept || kept->sequence < call->checkpoint.sequence),
          id, " keeps an older checkpoint, or one of another layer");
  const bool first = known.job.layers[next] == Digest();
  const int linears = first ? static_cast<int>(call->checkpoint.linears.size()) : 0;
  Require(Invariant::kKeptWork, after.most_linears == std::max(before.status.most_linears, linears), id,
          " miscounts the linears that were kept");
  Require(Invariant::kOutputsStored, IsThere(call->checkpoint.artifact), id, " keeps what is not stored");
}

void SimChecker::CheckCommit(const Known& known, const Task& before, const TaskStatus& after) {
  const TaskDescription& description = before.description;
  const std::string& id = description.task_id;
  Require(Invariant::kCancelWins, !IsEnding(known.job.status.state), id, " was committed although its job is ending");
  if (AuditedBy(description)) return;
  const auto* complete = std::get_if<CompleteTask>(event_);
  Require(Invariant::kOutputsStored, complete != nullptr && after.result == complete->result, id,
          " has another result than was reported");
  if (!after.result) return;
  const std::optional<Digest> boundary = OutputBoundary(*after.result);
  Require(Invariant::kOutputsStored, boundary.has_value() == description.output_boundary_wanted, id,
          " has a boundary too many or too few");
  if (boundary) Require(Invariant::kOutputsStored, IsThere(*boundary), id, " names a boundary that is not stored");
  const bool fits = (description.kind == TaskKind::kCapture && after.result->outcome.index() == 0) ||
                    (description.kind == TaskKind::kQuantize && after.result->outcome.index() == 1) ||
                    (description.kind == TaskKind::kFinalize && after.result->outcome.index() == 2) ||
                    (description.kind == TaskKind::kEvaluate && after.result->outcome.index() == 3);
  Require(Invariant::kOutputsStored, fits, id, " has the result of another kind of task");
  if (description.kind == TaskKind::kQuantize) {
    for (int layer = description.layers.begin; layer < description.layers.end; ++layer) {
      Require(Invariant::kOutputsStored, IsThere(known.job.layers[layer]), id, " was committed without layer ",
              std::to_string(layer));
    }
  }
  if (const auto* finalize = std::get_if<FinalizeResult>(&after.result->outcome)) {
    CheckManifest(known.job, finalize->manifest, id);
  }
}

void SimChecker::CheckLayer(const JobSnapshot& job, const Transition::LayerChange& change) {
  const int layer = change.layer.layer;
  const Place place = Find(change.task_id);
  const Task& task = *place.task;
  const auto* publish = std::get_if<PublishLayer>(event_);
  Require(Invariant::kHolderChanges,
          publish != nullptr && publish->lease.task_id == change.task_id && task.status.state == TaskState::kLeased &&
              task.status.epoch == change.epoch && publish->lease.epoch == change.epoch,
          change.task_id, " published without holding its epoch");
  const LayerRange range = task.description.layers;
  const bool inside = task.description.kind == TaskKind::kQuantize && layer >= range.begin && layer < range.end;
  Require(Invariant::kOutputsStored, inside, change.task_id, " published a layer of another shard");
  if (!inside) return;
  Require(Invariant::kCommittedOnce, job.layers[layer] == Digest(), "a layer was published twice");
  const std::vector<int>& lost = task.status.repair.lost_layers;
  Require(Invariant::kOutputsStored,
          layer == range.begin || (job.layers[layer - 1] != Digest() && (lost.empty() || lost.front() > layer)),
          change.task_id, " published out of order");
  Require(Invariant::kOutputsStored, IsThere(change.layer.artifact), change.task_id,
          " published a layer that is not stored");
}

}  // namespace gptvq
