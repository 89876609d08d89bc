#ifndef GPTVQ_PLATFORM_JOB_LEASE_H_
#define GPTVQ_PLATFORM_JOB_LEASE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/job.h"

namespace gptvq {

// The right to work on a task, as granted. The holder presents it with every call about the task.
struct Lease {
  std::string task_id;
  std::int64_t epoch = 0;
  std::string worker_name;
  std::string incarnation;
  std::string token;

  friend bool operator==(const Lease&, const Lease&) = default;
};

// Everything a worker needs to run a task; the C++ twin of gptvq.v1.TaskGrant, where the fields are described.
struct TaskGrant {
  Lease lease;
  std::chrono::milliseconds ttl{0};
  TaskKind kind = TaskKind::kQuantize;
  int attempt = 0;
  std::string job_id;
  JobSpec spec;
  int layer_count = 0;
  LayerRange layers;
  std::optional<Digest> input_boundary;
  bool output_boundary_wanted = false;
  std::vector<PublishedLayer> published_layers;
  std::optional<TaskCheckpoint> checkpoint;
  std::optional<EvaluationTarget> target;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_LEASE_H_
