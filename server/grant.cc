#include "server/grant.h"

#include "core/base/check.h"
#include "server/scheduler/held_work.h"
#include "server/scheduler/task_inputs.h"

namespace gptvq {
namespace {

// The layers of the shard that earlier attempts published and the store did not lose.
std::vector<PublishedLayer> PublishedLayers(const JobSnapshot& job, const Task& task) {
  std::vector<PublishedLayer> layers;
  for (int layer = task.description.layers.begin; layer < task.description.layers.end; ++layer) {
    if (HasLayer(job, task, layer)) layers.push_back({layer, job.layers[layer], {}});
  }
  return layers;
}

}  // namespace

bool IsLeasedTo(const TaskStatus& status, const PollTask& poll) {
  return status.state == TaskState::kLeased && WorkerKey{status.worker_name, status.incarnation} == poll.worker &&
         status.poll_id == poll.poll_id;
}

TaskGrant MakeGrant(const JobSnapshot& job, int index, std::chrono::milliseconds ttl,
                    const std::vector<PublishedLayer>& layers) {
  const Task& task = job.tasks[index];
  const TaskDescription& description = task.description;
  TaskGrant grant;
  grant.lease = {description.task_id, task.status.epoch, task.status.worker_name, task.status.incarnation, ""};
  grant.ttl = ttl;
  grant.kind = GrantedKind(job, description);
  grant.attempt = task.status.attempt;
  grant.job_id = job.description.job_id;
  grant.spec = job.description.spec;
  grant.spec.shard_layers = job.description.shard_layers;  // as planned: it is part of what the manifest states
  grant.layer_count = job.description.layer_count;
  grant.layers = description.layers;
  grant.output_boundary_wanted = description.output_boundary_wanted;
  grant.target = description.target;
  if (description.input_boundary_of) {
    const TaskStatus& producer = job.tasks[*description.input_boundary_of].status;
    GPTVQ_CHECK(producer.result.has_value());
    grant.input_boundary = OutputBoundary(*producer.result);
  }
  switch (description.kind) {
    case TaskKind::kQuantize:
      grant.published_layers = PublishedLayers(job, task);
      grant.checkpoint = task.status.checkpoint;
      break;
    case TaskKind::kFinalize: grant.published_layers = layers; break;
    case TaskKind::kCapture:
    case TaskKind::kEvaluate:
    case TaskKind::kAudit: break;
  }
  return grant;
}

}  // namespace gptvq
