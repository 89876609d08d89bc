#ifndef GPTVQ_TESTS_CLIENT_JOB_VIEWS_H_
#define GPTVQ_TESTS_CLIENT_JOB_VIEWS_H_

#include <string>

#include "client/job_view.h"

namespace gptvq {

// A task of `layers` that is `fraction` done by `worker`.
inline TaskView ALeasedTask(LayerRange layers, double fraction, std::string worker = "worker-a") {
  TaskView task;
  task.task_id = "job-0123456789abcdef/quantize-0";
  task.kind = TaskKind::kQuantize;
  task.state = TaskState::kLeased;
  task.layers = layers;
  task.attempt = 2;
  task.worker = std::move(worker);
  task.progress = {.counter = 5, .fraction = fraction, .layer = layers.begin, .step = "self_attn.q_proj"};
  return task;
}

// An audit of `layers` by `worker` that ended with `outcome`.
inline TaskView AnEndedAudit(LayerRange layers, AuditOutcome outcome, std::string worker = "worker-b") {
  TaskView task = ALeasedTask(layers, 1, std::move(worker));
  task.task_id = "job-0123456789abcdef/audit-0";
  task.kind = TaskKind::kAudit;
  task.state = TaskState::kCommitted;
  task.audit_outcome = outcome;
  return task;
}

// A running job of `layer_count` layers in one task, `fraction` of it done.
inline JobView ARunningJob(int layer_count, double fraction) {
  JobView job;
  job.job_id = "job-0123456789abcdef";
  job.state = JobState::kRunning;
  job.model = "file:///models/tiny";
  job.output = "file:///results/tiny";
  job.preset = "2d-3.125bpv";
  job.create_unix_seconds = 1'700'000'000;
  job.layer_count = layer_count;
  job.shard_layers = layer_count;
  job.published_layers = static_cast<int>(fraction * layer_count);
  job.task_count = 1;
  job.tasks = {ALeasedTask({0, layer_count}, fraction)};
  job.numerics_class = "cpu-avx2";
  return job;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_JOB_VIEWS_H_
