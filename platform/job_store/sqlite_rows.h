#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_ROWS_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_ROWS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job/transition.h"
#include "platform/job_store/sqlite.h"

namespace gptvq {

// Values of platform/job as rows of the schema, and back. Inside a transaction of the caller where something is written.
// Private to the SQLite store. Errors: those of SQLite; DataLoss for rows that no version of this program wrote.

absl::Status InsertJob(SqliteDatabase& database, const JobSnapshot& job);

// Errors: Aborted when the row is not at the previous revision.
absl::Status UpdateJob(SqliteDatabase& database, std::int64_t sequence, const JobStatus& status);
absl::Status UpdateTask(SqliteDatabase& database, std::int64_t sequence, const Transition::TaskChange& change);

absl::Status InsertLayer(SqliteDatabase& database, std::int64_t sequence, const Transition::LayerChange& change);
absl::Status InsertEvents(SqliteDatabase& database, std::int64_t sequence, const std::vector<JobEvent>& events);

// The jobs that `where_and_order` (what follows FROM jobs) chooses; `bind` fills its parameters.
absl::StatusOr<std::vector<JobSnapshot>> SelectJobs(SqliteDatabase& database, std::string_view where_and_order,
                                                    absl::FunctionRef<void(SqliteStatement&)> bind);
// Fills in the tasks and the digests of the layers.
absl::Status LoadTasksAndLayers(SqliteDatabase& database, JobSnapshot& job);
absl::StatusOr<std::vector<PublishedLayer>> SelectLayers(SqliteDatabase& database, std::int64_t sequence);
absl::StatusOr<std::vector<JobEvent>> SelectEvents(SqliteDatabase& database, std::int64_t sequence,
                                                   std::int64_t after_seq, int limit);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_ROWS_H_
