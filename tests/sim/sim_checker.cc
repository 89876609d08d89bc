#include "tests/sim/sim_checker.h"

#include <algorithm>

namespace gptvq {
namespace {

std::string JobIdOf(const std::string& task_id) { return task_id.substr(0, task_id.find('/')); }

// The states a job may pass into; written down here a second time, on purpose.
bool MayFollow(JobState from, JobState to) {
  switch (from) {
    case JobState::kPending:
      return to == JobState::kRunning || to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kRunning:
      return to == JobState::kFinalizing || to == JobState::kFailing || to == JobState::kFailed ||
             to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kFinalizing:
      return to == JobState::kSucceeded || to == JobState::kFailing || to == JobState::kFailed ||
             to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kFailing: return to == JobState::kFailed;
    case JobState::kCancelling: return to == JobState::kCancelled;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled: return false;
  }
  return false;
}

}  // namespace

void SimChecker::OnJournaled(const Transition& transition) {
  if (transition.created) {
    Require(!jobs_.contains(transition.job_id), transition.job_id + " was created twice");
    jobs_[transition.job_id] = *transition.created;
    return;
  }
  Require(jobs_.contains(transition.job_id), transition.job_id + " changes before it was created");
  JobSnapshot& job = jobs_[transition.job_id];
  const JobSnapshot before = job;
  std::int64_t seq = before.status.last_event_seq;
  for (const JobEvent& event : transition.events) Require(event.seq == ++seq, "events have a gap");
  for (const Transition::TaskChange& change : transition.tasks) CheckTask(before, change);
  if (transition.layer) CheckLayer(before, *transition.layer);

  for (const Transition::TaskChange& change : transition.tasks) job.tasks[change.index].status = change.status;
  if (transition.layer) job.layers[transition.layer->layer.layer] = transition.layer->layer.artifact;
  if (transition.job) job.status = *transition.job;
  CheckJob(before, job);
}

void SimChecker::CheckTask(const JobSnapshot& job, const Transition::TaskChange& change) {
  const Task& before = job.tasks[change.index];
  const TaskStatus& after = change.status;
  const std::string& id = before.description.task_id;
  Require(!IsTerminal(before.status.state), id + " changed after its end");
  if (after.epoch != before.status.epoch) CheckGrant(job, before, after);
  if (after.state == TaskState::kCommitted) {
    Require(before.status.state == TaskState::kLeased, id + " committed without being leased");
    Require(after.worker_name == before.status.worker_name && after.incarnation == before.status.incarnation,
            id + " committed by another holder");
    Require(job.status.state != JobState::kCancelling && job.status.state != JobState::kFailing,
            id + " committed although its job was to end");
    if (before.description.kind == TaskKind::kQuantize) {
      const LayerRange range = before.description.layers;
      for (int layer = range.begin; layer < range.end; ++layer) {
        Require(job.layers[layer] != Digest(), id + " committed without layer " + std::to_string(layer));
      }
    }
  }
}

void SimChecker::CheckGrant(const JobSnapshot& job, const Task& before, const TaskStatus& after) {
  const std::string& id = before.description.task_id;
  Require(after.epoch == before.status.epoch + 1, id + " skipped an epoch");
  Require(granted_.insert({id, after.epoch}).second, id + " epoch " + std::to_string(after.epoch) + " granted twice");
  Require(before.status.state == TaskState::kReady, id + " granted while " + std::string(Name(before.status.state)));
  Require(!acknowledged_cancels_.contains(job.description.job_id), id + " granted after the cancellation");
  for (int dependency : before.description.dependencies) {
    Require(job.tasks[dependency].status.state == TaskState::kCommitted, id + " granted before what it depends on");
  }
}

void SimChecker::CheckLayer(const JobSnapshot& job, const Transition::LayerChange& change) {
  const int layer = change.layer.layer;
  const auto task = std::find_if(job.tasks.begin(), job.tasks.end(),
                                 [&](const Task& one) { return one.description.task_id == change.task_id; });
  Require(task != job.tasks.end(), "a layer of no task");
  Require(task->status.state == TaskState::kLeased, change.task_id + " published without being leased");
  Require(task->status.epoch == change.epoch, change.task_id + " published under an old epoch");
  Require(job.layers[layer] == Digest(), "layer " + std::to_string(layer) + " was published twice");
  const LayerRange range = task->description.layers;
  Require(layer >= range.begin && layer < range.end, change.task_id + " published a layer of another shard");
  Require(layer == range.begin || job.layers[layer - 1] != Digest(), change.task_id + " published out of order");
}

void SimChecker::CheckJob(const JobSnapshot& before, const JobSnapshot& after) {
  const std::string& id = after.description.job_id;
  Require(before.status.state == after.status.state || MayFollow(before.status.state, after.status.state),
          id + " went from " + std::string(Name(before.status.state)) + " to " + std::string(Name(after.status.state)));
  int committed = 0;
  bool held = false;
  for (const Task& task : after.tasks) {
    committed += task.status.state == TaskState::kCommitted ? 1 : 0;
    held = held || IsHeld(task.status.state);
  }
  const auto published =
      std::count_if(after.layers.begin(), after.layers.end(), [](const Digest& digest) { return digest != Digest(); });
  Require(after.status.committed_tasks == committed, id + " miscounts its tasks");
  Require(after.status.published_layers == published, id + " miscounts its layers");
  if (IsTerminal(after.status.state)) Require(!held, id + " ended while a task is held");
  if (after.status.state == JobState::kSucceeded) {
    Require(committed == static_cast<int>(after.tasks.size()), id + " succeeded with open tasks");
  }
}

void SimChecker::OnRenewed(const Lease& lease) {
  const JobSnapshot& job = jobs_.at(JobIdOf(lease.task_id));
  const auto task = std::find_if(job.tasks.begin(), job.tasks.end(),
                                 [&](const Task& one) { return one.description.task_id == lease.task_id; });
  Require(task->status.epoch == lease.epoch && task->status.worker_name == lease.worker_name &&
              task->status.incarnation == lease.incarnation && IsHeld(task->status.state),
          lease.task_id + " was renewed by somebody who does not hold it");
}

void SimChecker::OnSubmitAcknowledged(const std::string& job_id) {
  Require(jobs_.contains(job_id), job_id + " was acknowledged but not journaled");
  acknowledged_jobs_.insert(job_id);
}

void SimChecker::OnCancelAcknowledged(const std::string& job_id) { acknowledged_cancels_.insert(job_id); }

void SimChecker::OnLayerAcknowledged(const std::string& job_id, int layer, const Digest& artifact) {
  Require(jobs_.at(job_id).layers[layer] == artifact, job_id + " acknowledged a layer that is not journaled");
  acknowledged_layers_[{job_id, layer}] = artifact;
}

void SimChecker::OnStored(const JobSnapshot& job) {
  const JobSnapshot& known = jobs_.at(job.description.job_id);
  Require(job.status == known.status, job.description.job_id + " is stored otherwise than journaled");
  for (std::size_t i = 0; i < job.tasks.size(); ++i) {
    Require(job.tasks[i].status == known.tasks[i].status, job.tasks[i].description.task_id + " is stored otherwise");
  }
  for (const auto& [key, artifact] : acknowledged_layers_) {
    if (key.first == job.description.job_id)
      Require(job.layers[key.second] == artifact, "an acknowledged layer is gone");
  }
}

bool SimChecker::AllEnded() const {
  return std::all_of(jobs_.begin(), jobs_.end(),
                     [](const auto& entry) { return IsTerminal(entry.second.status.state); });
}

std::string SimChecker::Standing() const {
  std::string text;
  for (const auto& [id, job] : jobs_) {
    if (IsTerminal(job.status.state)) continue;
    text += id + " is " + std::string(Name(job.status.state)) + ":";
    for (const Task& task : job.tasks) text += " " + std::string(Name(task.status.state));
    text += "; ";
  }
  return text;
}

int SimChecker::ended_with(JobState state) const {
  return static_cast<int>(
      std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& entry) { return entry.second.status.state == state; }));
}

void SimChecker::Require(bool condition, const std::string& what) {
  if (!condition) violations_.push_back(what);
}

}  // namespace gptvq
