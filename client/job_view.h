#ifndef GPTVQ_CLIENT_JOB_VIEW_H_
#define GPTVQ_CLIENT_JOB_VIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/pipeline/layer_range.h"
#include "platform/clock.h"
#include "platform/job/device_health.h"
#include "platform/job/job.h"
#include "platform/job/task.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// Jobs, tasks and workers as the commands show them. Plain values.

struct TaskView {
  std::string task_id;
  TaskKind kind = TaskKind::kQuantize;
  TaskState state = TaskState::kBlocked;
  LayerRange layers;
  int attempt = 0;
  std::string worker;
  TaskProgress progress;                      // of the present attempt
  std::string last_failure;                   // empty: none
  std::optional<AuditOutcome> audit_outcome;  // of an audit that ended, if the coordinator says so
};

// The most memory that one slot of a worker needs at a time, in bytes.
struct MemoryView {
  std::uint64_t gpu_device_bytes = 0;
  std::uint64_t gpu_host_bytes = 0;
  std::uint64_t cpu_host_bytes = 0;
};

struct JobView {
  std::string job_id;
  JobState state = JobState::kPending;
  std::string model;
  std::string output;
  std::string preset;
  std::int64_t create_unix_seconds = 0;
  int layer_count = 0;
  int shard_layers = 0;
  int published_layers = 0;
  int task_count = 0;
  int committed_task_count = 0;
  std::vector<TaskView> tasks;                            // empty in lists
  std::string failure;                                    // why the job failed
  FailureClass failure_class = FailureClass::kTransient;  // of a job that failed
  std::string numerics_class;
  std::vector<std::string> warnings;  // about its model; only in the answer to a submit
  std::optional<MemoryView> memory;   // only in the answer to a dry run
};

// Share of a task that is done, 0 to 1.
double DoneFraction(const TaskView& task);

// Share of the job's work that is done, 0 to 1, its tasks weighted by WorkOf (platform/job/progress.h). Of a job without its
// tasks, as in lists: the share of its layers that is published.
double DoneFraction(const JobView& job);

// What the coordinator says of itself.
struct CoordinatorView {
  std::string version;
  std::string protocol_version;
  bool speaks_our_protocol = false;
  std::optional<WallTime> time;  // its clock; none from an older one
};

struct WorkerView {
  std::string name;
  std::string numerics_class;
  std::string version;
  std::vector<std::string> slots;
  std::vector<std::string> leased_task_ids;
  double seconds_since_last_call = 0;
  WorkerTrust trust = WorkerTrust::kTrusted;
  std::int64_t quarantine_end_unix_seconds = 0;  // of a quarantine that lasts
  std::string trust_reason;                      // why it is not trusted; empty when it is
  std::vector<DeviceHealth> devices;             // as it reported them; none for slots of which nothing is known
};

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_JOB_VIEW_H_
