#ifndef GPTVQ_SERVER_SCHEDULER_TASK_INPUTS_H_
#define GPTVQ_SERVER_SCHEDULER_TASK_INPUTS_H_

#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "platform/job/job.h"

namespace gptvq {

// Which artifacts a task reads, and who made them. Pure.

struct TaskInput {
  Digest artifact;
  int maker = 0;             // index of the task that made it
  std::optional<int> layer;  // nullopt: a boundary
};

// Whether a layer of a quantize task's shard is published and was not lost since.
bool HasLayer(const JobSnapshot& job, const Task& maker, int layer);

// What `task` is granted to read from the artifact store: the boundary in front of its shard, the layers that earlier attempts
// published; for a finalize task every layer.
std::vector<TaskInput> InputsOf(const JobSnapshot& job, const Task& task);

// Those of them whose artifact is one of `artifacts`.
std::vector<TaskInput> InputsAmong(const JobSnapshot& job, const Task& task, absl::Span<const Digest> artifacts);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_TASK_INPUTS_H_
