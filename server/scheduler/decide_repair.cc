// What the store lost of what tasks made: who makes it again, and who waits for it.

#include <algorithm>
#include <map>

#include "server/scheduler/job_step.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

void Scheduler::AwaitRepair(const FoundTask& found, TaskFailure failure, const std::vector<TaskInput>& lost,
                            JobStep& step, Findings& findings) const {
  const int index = found.key.index;
  RepairStatus repair = found.task->status.repair;
  const TaskTrigger trigger = EndOfFailedTask(*found.task, options_.retry.JudgeMissingInput(repair.missing_inputs));
  if (trigger != TaskTrigger::kAwait) {
    TaskStatus& status = step.MoveTask(index, trigger, std::move(failure));
    status.repair = repair;
    NoteGivenUp(status, findings);
    return;
  }
  std::map<int, std::vector<int>> lost_layers;  // by maker, ascending
  for (const TaskInput& input : lost) {
    std::vector<int>& layers = lost_layers[input.maker];
    if (input.layer) layers.push_back(*input.layer);
  }
  for (const auto& [maker, layers] : lost_layers) {
    if (maker == index) {
      repair.lost_layers.insert(repair.lost_layers.end(), layers.begin(), layers.end());
      std::sort(repair.lost_layers.begin(), repair.lost_layers.end());
    } else if (step.StatusOf(maker).state == TaskState::kCommitted) {  // else it is being repaired already
      TaskStatus& status = step.MoveTask(maker, TaskTrigger::kRepair);
      status.failures = {};
      status.failed_attempts = {};
      status.repair = {layers, 0};
    }
  }
  TaskStatus& status = step.MoveTask(index, trigger, std::move(failure));
  const bool comes_later =
      status.checkpoint && !repair.lost_layers.empty() && status.checkpoint->layer > repair.lost_layers.front();
  if (comes_later) status.checkpoint.reset();  // what is kept is of the layer that is computed first
  status.repair = std::move(repair);
}

}  // namespace gptvq
