#ifndef GPTVQ_PLATFORM_JOB_JOB_H_
#define GPTVQ_PLATFORM_JOB_JOB_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/sha256.h"
#include "core/spec/linear_report.h"
#include "platform/clock.h"
#include "platform/job/job_spec.h"
#include "platform/job/task.h"

namespace gptvq {

// The transitions are described in gptvq.v1.JobState.
enum class JobState { kPending, kRunning, kFinalizing, kSucceeded, kFailing, kFailed, kCancelling, kCancelled };
inline constexpr std::array kAllJobStates = {JobState::kPending,    JobState::kRunning,  JobState::kFinalizing,
                                             JobState::kSucceeded,  JobState::kFailing,  JobState::kFailed,
                                             JobState::kCancelling, JobState::kCancelled};

std::string_view Name(JobState state);  // pending, running, ...
bool IsTerminal(JobState state);

// What never changes of a job.
struct JobDescription {
  std::string job_id;         // job-<16 hexadecimal digits>
  std::int64_t sequence = 0;  // order of submission, from 1
  std::string request_id;
  std::string owner = {};  // who submitted it, "client/alice" (platform/identity.h); empty: without TLS
  JobSpec spec;
  int layer_count = 0;
  int shard_layers = 0;  // as planned
  int task_count = 0;
  WallTime create_time;
};

// Whether `again` asks for the job that `known` is: by the same caller, for the same spec.
inline bool IsRepetition(const JobDescription& known, const JobDescription& again) {
  return known.owner == again.owner && known.spec == again.spec;
}

// What changes of a job; one row of the journal. `revision` as in TaskStatus.
struct JobStatus {
  std::int64_t revision = 0;
  JobState state = JobState::kPending;
  std::string numerics_class;  // empty until the first grant
  std::optional<WallTime> end_time;
  std::optional<TaskFailure> failure;
  int published_layers = 0;
  int committed_tasks = 0;
  std::int64_t last_event_seq = 0;

  friend bool operator==(const JobStatus&, const JobStatus&) = default;
};

// A layer that was committed, with what it reported.
struct PublishedLayer {
  int layer = 0;
  Digest artifact;
  std::vector<LinearReport> linears;
};

// A job with everything that belongs to it but the layers' reports and the events. Lists leave `tasks` and `layers` empty.
struct JobSnapshot {
  JobDescription description;
  JobStatus status;
  std::vector<Task> tasks;     // by index
  std::vector<Digest> layers;  // artifact of each layer, by layer; the zero digest for those not yet published
};

// Something durable that happened to a job; mirrors gptvq.v1.JobEvent.
struct JobStateChange {
  JobState from = JobState::kPending;
  JobState to = JobState::kPending;

  friend bool operator==(const JobStateChange&, const JobStateChange&) = default;
};

struct TaskStateChange {
  std::string task_id;
  TaskState from = TaskState::kBlocked;
  TaskState to = TaskState::kBlocked;
  TaskTrigger trigger = TaskTrigger::kUnblock;
  std::int64_t epoch = 0;
  std::string worker_name;
  std::optional<TaskFailure> failure;

  friend bool operator==(const TaskStateChange&, const TaskStateChange&) = default;
};

struct LayerPublished {
  std::string task_id;
  int layer = 0;
  Digest artifact;

  friend bool operator==(const LayerPublished&, const LayerPublished&) = default;
};

struct JobEvent {
  std::int64_t seq = 0;  // from 1, without gaps
  WallTime time;
  std::variant<JobStateChange, TaskStateChange, LayerPublished> what;

  friend bool operator==(const JobEvent&, const JobEvent&) = default;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_JOB_H_
