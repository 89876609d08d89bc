#ifndef GPTVQ_PLATFORM_JOB_STORE_TASK_ROWS_H_
#define GPTVQ_PLATFORM_JOB_STORE_TASK_ROWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job/transition.h"
#include "platform/job_store/sql_database.h"

namespace gptvq {

// The part of job_rows.h that is about the tasks of a job and the layers that they publish. `sequence` is the job's number.

void AppendTaskRows(std::int64_t sequence, const std::vector<Task>& tasks, std::vector<SqlStatement>& statements);
SqlStatement UpdateTaskRow(std::int64_t sequence, const Transition::TaskChange& change);
SqlStatement InsertLayerRow(std::int64_t sequence, const Transition::LayerChange& change);
SqlStatement DeleteLayerRow(std::int64_t sequence, int layer);

absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(SqlDatabase& database, std::int64_t sequence);
// Fills in the tasks and the digests of the layers.
absl::Status ReadTasksAndLayers(SqlDatabase& database, JobSnapshot& job);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_TASK_ROWS_H_
