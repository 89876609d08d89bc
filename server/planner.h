#ifndef GPTVQ_SERVER_PLANNER_H_
#define GPTVQ_SERVER_PLANNER_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/job/job_spec.h"
#include "platform/job/task.h"

namespace gptvq {

// The task graph of a job: layers -> shards -> tasks.
//
//   sequential   quantize-0 -> quantize-1 -> ... -> finalize-0 -> evaluate-1 (quantized)
//   parallel     capture-0 -> capture-1 -> ...        (the last shard needs no capture)
//                    \-> quantize-1  \-> quantize-2 ...   all quantize -> finalize-0 -> evaluate-1
//   audited      a capture or quantize task and what it depends on -> audit-n -> finalize-0
//   both         evaluate-0 (source) depends on nothing; no evaluation without an evaluation_uri
//
// Tasks stand in the order in which workers should take them: a task depends only on earlier ones, and those that unblock
// others come first.
struct JobPlan {
  int shard_layers = 0;
  std::vector<TaskDescription> tasks;
};

// Pure. Task ids begin with `job_id`. `audit_fraction` of the captures and quantize tasks, from 0 to 1, are audited
// (server/scheduler/audit_choice.h). Where that is more than 0 whatever is made may be made again, and finalize-0 also depends on the
// captures.
// Errors: InvalidArgument when the model has more than kMaxPlannedLayers layers, or fewer than 1.
absl::StatusOr<JobPlan> PlanJob(const JobSpec& spec, int layer_count, std::string_view job_id,
                                double audit_fraction = 0);

inline constexpr int kMaxPlannedLayers = 512;
// Two tasks per layer, each audited, finalize and two evaluations.
inline constexpr int kMaxTasksPerJob = 4 * kMaxPlannedLayers + 3;
// Shards of a parallel job that does not say how many layers each should have: enough for a few workers, few enough that
// the loss through not-quantized inputs stays small.
inline constexpr int kDefaultParallelShards = 8;

}  // namespace gptvq

#endif  // GPTVQ_SERVER_PLANNER_H_
