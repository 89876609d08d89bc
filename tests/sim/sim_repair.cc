// What the checker knows of artifacts that the store lost: who may be made to work again, and who waits (docs/protocol.md, "Lost
// artifacts").

#include <algorithm>

#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

bool IsAmong(const Digest& artifact, const std::vector<Digest>& artifacts) {
  return std::find(artifacts.begin(), artifacts.end(), artifact) != artifacts.end();
}

bool IsOfShard(const Task& task, int layer) {
  return task.description.kind == TaskKind::kQuantize && layer >= task.description.layers.begin &&
         layer < task.description.layers.end;
}

bool Made(const JobSnapshot& job, const Task& maker, const Digest& artifact) {
  if (maker.status.result && OutputBoundary(*maker.status.result) == artifact) return true;
  const auto layer = std::find(job.layers.begin(), job.layers.end(), artifact);
  return layer != job.layers.end() && IsOfShard(maker, static_cast<int>(layer - job.layers.begin()));
}

}  // namespace

void SimChecker::OnFoundLost(const std::vector<Digest>& named, const std::vector<Digest>& inputs,
                             const std::vector<Digest>& lost) {
  for (const Digest& artifact : named) {
    const bool is_lost = IsAmong(artifact, inputs) && !IsStored(artifact);
    Require(Invariant::kRepair, IsAmong(artifact, lost) == is_lost,
            is_lost ? "a worker is not believed that what it reads is lost"
                    : "a worker is believed that what is stored, or not its business, is lost");
  }
}

// Whether the latest event is the holder's word that what it reads is lost, and true.
bool SimChecker::IsAwaited(const Task& task) const {
  const auto* fail = std::get_if<FailTask>(event_);
  return fail != nullptr && !fail->lost.empty() && fail->lease.task_id == task.description.task_id &&
         task.status.state == TaskState::kLeased;
}

RepairStatus SimChecker::ExpectedRepair(const JobSnapshot& job, const Task& before, const TaskStatus& after) const {
  RepairStatus repair = before.status.repair;
  if (after.state == TaskState::kCommitted) return {};
  if (const auto* publish = std::get_if<PublishLayer>(event_); publish != nullptr && IsHeld(after.state)) {
    std::erase(repair.lost_layers, publish->layer.layer);
    if (job.layers[publish->layer.layer] == Digest() || AuditedBy(before.description)) repair.missing_inputs = 0;
    return repair;
  }
  const auto* fail = std::get_if<FailTask>(event_);
  const bool reopened = before.status.state == TaskState::kCommitted;
  if (!reopened && !IsAwaited(before)) return repair;
  if (reopened) {
    repair = {};
  } else if (++repair.missing_inputs > options_.retry.max_missing) {
    return repair;
  }
  for (int layer = 0; layer < job.description.layer_count; ++layer) {
    if (IsOfShard(before, layer) && IsAmong(job.layers[layer], fail->lost)) repair.lost_layers.push_back(layer);
  }
  std::sort(repair.lost_layers.begin(), repair.lost_layers.end());
  return repair;
}

void SimChecker::CheckRepair(const Known& known, const Task& before, const TaskStatus& after,
                             const Transition& transition) {
  const std::string& id = before.description.task_id;
  const JobSnapshot& job = known.job;
  Require(Invariant::kRepair, after.repair == ExpectedRepair(job, before, after), id, " has another loss to make good");
  if (before.status.state == TaskState::kCommitted) {
    const auto* fail = std::get_if<FailTask>(event_);
    bool caused = false;
    for (const Digest& lost : fail == nullptr ? std::vector<Digest>() : fail->lost) caused |= Made(job, before, lost);
    Require(Invariant::kRepair, caused, id, " is made again although nothing of it was lost");
  }
  for (const Task& maker : job.tasks) {
    if (!IsAwaited(before) || after.state == TaskState::kFailed || maker.status.state != TaskState::kCommitted)
      continue;
    const std::vector<Digest>& lost = std::get<FailTask>(*event_).lost;
    const bool made = std::any_of(lost.begin(), lost.end(), [&](const Digest& one) { return Made(job, maker, one); });
    const bool moved = std::any_of(transition.tasks.begin(), transition.tasks.end(), [&](const auto& change) {
      return change.index == maker.description.index && change.status.state != TaskState::kCommitted;
    });
    Require(Invariant::kRepair, !made || moved, maker.description.task_id,
            " is not made again although its work is lost");
  }
  if (after.state == TaskState::kCommitted) {
    const bool same = !before.status.result || before.status.audit.may_differ ||
                      (after.result && OutputBoundary(*before.status.result) == OutputBoundary(*after.result));
    Require(Invariant::kRepair, same, id, " was made again and is another");
    Require(Invariant::kRepair, before.status.repair.lost_layers.empty(), id,
            " was committed without what it had lost");
  }
  const auto* publish = std::get_if<PublishLayer>(event_);
  if (publish == nullptr || transition.layer || after.state != TaskState::kLeased) return;
  if (AuditedBy(before.description)) return;
  const std::vector<int>& lost = before.status.repair.lost_layers;
  Require(Invariant::kRepair,
          !lost.empty() && lost.front() == publish->layer.layer &&
              job.layers[publish->layer.layer] == publish->layer.artifact && IsThere(publish->layer.artifact),
          id, " published again what it had not lost, or another layer");
}

// Its input may be on its way out of the store, or gone as garbage: nobody needed it before this task was made to work again.
bool SimChecker::MayBeGone(const Known& known, const Task& reader) const {
  const std::int64_t reopened = known.watches[reader.description.index].reopened;
  return reopened > 0 && known.watches[*reader.description.input_boundary_of].committed < reopened;
}

}  // namespace gptvq
