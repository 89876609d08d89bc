#include "server/scheduler/task_inputs.h"

#include <algorithm>

namespace gptvq {
namespace {

void AddLayers(const JobSnapshot& job, const Task& maker, std::vector<TaskInput>& inputs) {
  const LayerRange range = maker.description.layers;
  for (int layer = range.begin; layer < range.end; ++layer) {
    if (HasLayer(job, maker, layer)) inputs.push_back({job.layers[layer], maker.description.index, layer});
  }
}

}  // namespace

bool HasLayer(const JobSnapshot& job, const Task& maker, int layer) {
  const std::vector<int>& lost = maker.status.repair.lost_layers;
  return job.layers[layer] != Digest() && std::find(lost.begin(), lost.end(), layer) == lost.end();
}

std::vector<TaskInput> InputsOf(const JobSnapshot& job, const Task& task) {
  std::vector<TaskInput> inputs;
  if (const std::optional<int>& maker = task.description.input_boundary_of) {
    const std::optional<TaskResult>& result = job.tasks[*maker].status.result;
    const std::optional<Digest> boundary = result ? OutputBoundary(*result) : std::nullopt;
    if (boundary) inputs.push_back({*boundary, *maker, std::nullopt});
  }
  switch (task.description.kind) {
    case TaskKind::kQuantize: AddLayers(job, task, inputs); break;
    case TaskKind::kFinalize:
      for (const Task& maker : job.tasks) {
        if (maker.description.kind == TaskKind::kQuantize) AddLayers(job, maker, inputs);
      }
      break;
    case TaskKind::kCapture:
    case TaskKind::kEvaluate:
    case TaskKind::kAudit: break;
  }
  return inputs;
}

std::vector<TaskInput> InputsAmong(const JobSnapshot& job, const Task& task, absl::Span<const Digest> artifacts) {
  std::vector<TaskInput> inputs;
  if (!artifacts.empty()) inputs = InputsOf(job, task);
  std::erase_if(inputs, [&](const TaskInput& input) {
    return std::find(artifacts.begin(), artifacts.end(), input.artifact) == artifacts.end();
  });
  return inputs;
}

}  // namespace gptvq
