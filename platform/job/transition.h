#ifndef GPTVQ_PLATFORM_JOB_TRANSITION_H_
#define GPTVQ_PLATFORM_JOB_TRANSITION_H_

#include <optional>
#include <string>
#include <vector>

#include "platform/job/doomed_artifact.h"
#include "platform/job/job.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// One step of one job, all of it or none, with what it shows of workers; or a step about workers or artifacts alone. What the
// scheduler decides, the journal stores and the memory then takes over. Rows hold the new values; their revision is one
// above the old one. Plain value.
struct Transition {
  struct TaskChange {
    int index = 0;
    TaskStatus status;
  };
  struct LayerChange {
    PublishedLayer layer;
    std::string task_id;
    std::int64_t epoch = 0;
  };

  std::string job_id;                  // of everything below but `artifacts` and `workers`; empty: no job changes
  std::optional<JobSnapshot> created;  // a new job, at revision 1 of everything; nothing else but events is set then
  std::optional<JobStatus> job;
  std::vector<TaskChange> tasks;  // each index at most once
  std::optional<LayerChange> layer;
  std::vector<int> overturned_layers;  // published before, and now as if they never had been; `layer` is none of them
  std::vector<JobEvent> events;        // follow the job's last event without a gap
  std::vector<DoomChange> artifacts;   // each artifact at most once

  std::vector<WorkerRecord> workers;  // each name at most once

  bool empty() const { return job_id.empty() && artifacts.empty() && workers.empty(); }
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_TRANSITION_H_
