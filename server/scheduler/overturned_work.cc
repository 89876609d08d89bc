#include "server/scheduler/overturned_work.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

// A task that is wrong so often has met as many bad workers, or cannot be computed alike by anybody.
constexpr int kMaxOverturned = 8;

bool IsMaker(const Task& task) {
  return task.description.kind == TaskKind::kCapture || task.description.kind == TaskKind::kQuantize;
}

// Nothing of a job is made again once its checkpoint may be on the way to its output.
bool MayOverturn(const JobSnapshot& job) {
  const JobState state = job.status.state;
  if (IsTerminal(state) || state == JobState::kFailing || state == JobState::kCancelling) return false;
  return std::none_of(job.tasks.begin(), job.tasks.end(), [](const Task& task) {
    return task.description.kind == TaskKind::kFinalize && task.status.attempt > 0;
  });
}

bool HasWork(const JobSnapshot& job, const Task& task, const TaskStatus& status) {
  const LayerRange range = task.description.layers;
  const auto begin = job.layers.begin() + range.begin;
  const bool published = task.description.kind == TaskKind::kQuantize &&
                         std::any_of(begin, begin + range.count(), [](const Digest& one) { return one != Digest(); });
  return published || status.checkpoint || status.result || IsHeld(status.state);
}

// Whether two workers came to what is published of a task.
bool IsVerified(const JobSnapshot& job, int index, const JobStep& step) {
  const std::optional<int> audit = AuditOf(job, index);
  if (!audit) return false;
  const TaskStatus& status = step.StatusOf(*audit);
  if (status.state != TaskState::kCommitted) return false;
  return status.audit.outcome != AuditOutcome::kSkipped && status.audit.outcome != AuditOutcome::kGivenUp;
}

}  // namespace

std::optional<int> AuditOf(const JobSnapshot& job, int index) {
  for (const Task& task : job.tasks) {
    if (AuditedBy(task.description) == index) return task.description.index;
  }
  return std::nullopt;
}

void BeginAnew(TaskStatus& status) {
  ForgetCheckpoint(status);
  status.repair.missing_inputs = 0;
  status.failures = {};
  status.failed_attempts = {};
}

void Overturn(const JobSnapshot& job, int index, int from, const std::string& why, JobStep& step) {
  const Task& task = job.tasks[index];
  const LayerRange range = task.description.layers;
  if (step.StatusOf(index).state == TaskState::kFailed) return;  // too often already
  TaskStatus& status = step.MoveTask(index, TaskTrigger::kOverturn, TaskFailure{FailureClass::kDevice, why, ""});
  if (task.description.kind == TaskKind::kQuantize) {
    for (int layer = from; layer < range.end; ++layer) {
      if (job.layers[layer] != Digest()) step.DropLayer(layer);
    }
  }
  std::erase_if(status.audit.authors, [&](const LayerAuthor& author) { return author.layer >= from; });
  std::erase_if(status.repair.lost_layers, [&](int layer) { return layer >= from; });
  BeginAnew(status);
  status.audit.may_differ = true;
  if (++status.audit.overturned <= kMaxOverturned) return;
  step.MoveTask(
      index, TaskTrigger::kFail,
      TaskFailure{FailureClass::kBug,
                  absl::StrCat("NONDETERMINISM: it was made again ", kMaxOverturned, " times; lastly: ", why), ""});
}

void OverturnReaders(const JobSnapshot& job, int index, JobStep& step) {
  const std::string why = absl::StrCat("it read a boundary of ", job.tasks[index].description.task_id,
                                       " that is another since that was made again");
  for (const Task& task : job.tasks) {
    if (task.description.input_boundary_of != index) continue;
    const TaskStatus& status = step.StatusOf(task.description.index);
    if (IsMaker(task)) {
      if (HasWork(job, task, status)) Overturn(job, task.description.index, task.description.layers.begin, why, step);
      continue;
    }
    if (status.state != TaskState::kBlocked || !status.audit.answers.empty()) {
      TaskStatus& audit =
          step.MoveTask(task.description.index, TaskTrigger::kOverturn, TaskFailure{FailureClass::kDevice, why, ""});
      audit.audit = {};
      BeginAnew(audit);
    }
  }
}

int OverturnWorkOf(const JobSnapshot& job, const std::set<std::string>& workers, std::optional<int> judged,
                   JobStep& step) {
  int count = 0;
  if (!MayOverturn(job)) return count;
  for (const Task& task : job.tasks) {
    const int index = task.description.index;
    if (!IsMaker(task) || index == judged || IsVerified(job, index, step)) continue;
    const std::vector<LayerAuthor>& authors = step.StatusOf(index).audit.authors;
    const auto first = std::find_if(authors.begin(), authors.end(),
                                    [&](const LayerAuthor& author) { return workers.contains(author.worker_name); });
    if (first == authors.end()) continue;
    const std::string why = absl::StrCat("worker ", first->worker_name, " made of it what nobody has verified");
    Overturn(job, index, first->layer, why, step);
    ++count;
  }
  return count;
}

}  // namespace gptvq
