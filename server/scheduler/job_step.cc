#include "server/scheduler/job_step.h"

#include <algorithm>

#include "core/base/check.h"
#include "server/scheduler/task_transitions.h"

namespace gptvq {
namespace {

// What speaks for another cause than the latest failure: who else the task was tried on, if that is more than the one whom the
// failure names, and how often its inputs were lost.
std::string Evidence(const TaskStatus& status) {
  std::string text;
  if (status.repair.missing_inputs > 0) {
    text = " (the artifact store lost what it reads " + std::to_string(status.repair.missing_inputs) +
           " times in a row; it may not keep what it is given)";
  }
  const std::vector<FailedAttempt>& attempts = status.failed_attempts;
  if (attempts.size() < 2) return text;
  text += " (it did not succeed on";
  for (const FailedAttempt& attempt : attempts) {
    text += (&attempt == &attempts.front() ? " " : ", ") + attempt.worker_name + ": " +
            (attempt.lost ? "lost" : std::string(Name(attempt.failure_class)));
  }
  return text + ")";
}

}  // namespace

JobStep::JobStep(const JobSnapshot& job, WallTime now) : job_(job), now_(now) {
  transition_.job_id = job.description.job_id;
}

void ForgetCheckpoint(TaskStatus& status) {
  status.checkpoint.reset();
  status.most_linears = 0;
}

TaskStatus& JobStep::MoveTask(int index, TaskTrigger trigger, std::optional<TaskFailure> failure) {
  const TaskState from = StatusOf(index).state;
  TaskStatus& status = ChangeState(index, trigger);
  if (failure) status.last_failure = failure;
  // A publication shows as the layer's own event; a checkpoint is no news.
  if (trigger != TaskTrigger::kPublish && trigger != TaskTrigger::kCheckpoint) {
    AddEvent(TaskStateChange{job_.tasks[index].description.task_id, from, status.state, trigger, status.epoch,
                             status.worker_name, std::move(failure)});
  }
  return status;
}

void JobStep::GrantTask(int index, std::int64_t generation, const WorkerKey& worker, const std::string& poll_id) {
  const TaskState from = StatusOf(index).state;
  TaskStatus& status = ChangeState(index, TaskTrigger::kGrant);
  status.epoch = NextEpoch(status.epoch, generation);
  ++status.attempt;
  status.audit.layers.clear();  // an answer is of one worker alone
  status.worker_name = worker.name;
  status.incarnation = worker.incarnation;
  status.poll_id = poll_id;
  AddEvent(TaskStateChange{job_.tasks[index].description.task_id, from, status.state, TaskTrigger::kGrant, status.epoch,
                           worker.name, std::nullopt});
}

const TaskStatus& JobStep::StatusOf(int index) const {
  const auto moved = moved_.find(index);
  return moved == moved_.end() ? job_.tasks[index].status : moved->second;
}

void JobStep::AddLayer(int index, PublishedLayer layer) {
  const TaskDescription& task = job_.tasks[index].description;
  ++MutableJob().published_layers;
  AddEvent(LayerPublished{task.task_id, layer.layer, layer.artifact});
  transition_.layer = Transition::LayerChange{std::move(layer), task.task_id, StatusOf(index).epoch};
}

void JobStep::DropLayer(int layer) {
  std::vector<int>& dropped = transition_.overturned_layers;
  if (std::find(dropped.begin(), dropped.end(), layer) != dropped.end()) return;
  --MutableJob().published_layers;
  dropped.push_back(layer);
}

void JobStep::PinNumericsClass(const std::string& numerics_class) { MutableJob().numerics_class = numerics_class; }

void JobStep::RequestCancellation() {
  MoveJob(JobState::kCancelling);
  CancelOpenTasks();
}

Transition JobStep::Finish() {
  BlockTasks();
  UnblockTasks();
  SettleJobState();
  for (auto& [index, status] : moved_) {
    ++status.revision;
    transition_.tasks.push_back({index, std::move(status)});
  }
  if (!transition_.events.empty()) {
    MutableJob().last_event_seq = transition_.events.back().seq;
  }
  if (transition_.job) ++transition_.job->revision;
  return std::move(transition_);
}

TaskStatus& JobStep::ChangeState(int index, TaskTrigger trigger) {
  TaskStatus& status = moved_.try_emplace(index, StatusOf(index)).first->second;
  const std::optional<TaskState> to = NextTaskState(status.state, trigger);
  GPTVQ_CHECK(to.has_value());
  status.state = *to;
  if (IsTerminal(*to)) ForgetCheckpoint(status);
  return status;
}

JobStatus& JobStep::MutableJob() {
  if (!transition_.job) transition_.job = job_.status;
  return *transition_.job;
}

const JobStatus& JobStep::job_status() const { return transition_.job ? *transition_.job : job_.status; }

void JobStep::MoveJob(JobState to) {
  const JobState from = job_status().state;
  if (from == to) return;
  MutableJob().state = to;
  if (IsTerminal(to)) MutableJob().end_time = now_;
  AddEvent(JobStateChange{from, to});
}

bool JobStep::AreCommitted(const std::vector<int>& tasks) const {
  return std::all_of(tasks.begin(), tasks.end(),
                     [&](int index) { return StatusOf(index).state == TaskState::kCommitted; });
}

// Something that it depends on is being repaired.
void JobStep::BlockTasks() {
  for (const Task& task : job_.tasks) {
    const int index = task.description.index;
    if (StatusOf(index).state != TaskState::kReady || AreCommitted(task.description.dependencies)) continue;
    MoveTask(index, TaskTrigger::kAwait);
  }
}

void JobStep::UnblockTasks() {
  for (const Task& task : job_.tasks) {
    const int index = task.description.index;
    if (StatusOf(index).state != TaskState::kBlocked || !AreCommitted(task.description.dependencies)) continue;
    MoveTask(index, TaskTrigger::kUnblock);
  }
}

// Nothing of the job will be granted again, and those who hold a task are told to stop.
void JobStep::CancelOpenTasks() {
  for (const Task& task : job_.tasks) {
    const TaskState state = StatusOf(task.description.index).state;
    if (IsTerminal(state) || state == TaskState::kCancelling) continue;
    MoveTask(task.description.index, TaskTrigger::kCancel);
  }
}

void JobStep::FailJob(int failed_index) {
  const std::string& task_id = job_.tasks[failed_index].description.task_id;
  TaskFailure failure = StatusOf(failed_index).last_failure.value_or(TaskFailure());
  failure.message = "task " + task_id + ": " + failure.message + Evidence(StatusOf(failed_index));
  failure.message.resize(std::min(failure.message.size(), kMaxFailureMessageBytes));
  MutableJob().failure = std::move(failure);
  MoveJob(JobState::kFailing);
  CancelOpenTasks();
}

void JobStep::SettleJobState() {
  MutableJob().committed_tasks =
      static_cast<int>(std::count_if(job_.tasks.begin(), job_.tasks.end(), [&](const Task& task) {
        return StatusOf(task.description.index).state == TaskState::kCommitted;
      }));

  const bool ending = job_status().state == JobState::kCancelling || job_status().state == JobState::kFailing;
  if (!ending) {
    for (const auto& [index, status] : std::map(moved_)) {
      if (status.state != TaskState::kFailed) continue;
      FailJob(index);
      break;
    }
  }
  const JobState state = job_status().state;
  if (state == JobState::kCancelling || state == JobState::kFailing) {
    if (!AnyTask(IsHeld)) MoveJob(state == JobState::kFailing ? JobState::kFailed : JobState::kCancelled);
  } else if (AllTasks(std::nullopt, TaskState::kCommitted)) {
    MoveJob(JobState::kSucceeded);
  } else if (AllTasks(TaskKind::kQuantize, TaskState::kCommitted) &&
             AllTasks(TaskKind::kAudit, TaskState::kCommitted)) {
    MoveJob(JobState::kFinalizing);
  } else if (state == JobState::kFinalizing || (state == JobState::kPending && AnyTask(IsHeld))) {
    MoveJob(JobState::kRunning);  // FINALIZING: a layer is computed again
  }
}

bool JobStep::AnyTask(bool (*predicate)(TaskState)) const {
  return std::any_of(job_.tasks.begin(), job_.tasks.end(),
                     [&](const Task& task) { return predicate(StatusOf(task.description.index).state); });
}

bool JobStep::AllTasks(std::optional<TaskKind> kind, TaskState state) const {
  return std::all_of(job_.tasks.begin(), job_.tasks.end(), [&](const Task& task) {
    return (kind && task.description.kind != *kind) || StatusOf(task.description.index).state == state;
  });
}

void JobStep::AddEvent(decltype(JobEvent::what) what) {
  const std::int64_t seq = job_.status.last_event_seq + static_cast<std::int64_t>(transition_.events.size()) + 1;
  transition_.events.push_back({seq, now_, std::move(what)});
}

}  // namespace gptvq
