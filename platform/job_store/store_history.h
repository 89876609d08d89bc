#ifndef GPTVQ_PLATFORM_JOB_STORE_STORE_HISTORY_H_
#define GPTVQ_PLATFORM_JOB_STORE_STORE_HISTORY_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job_store/sql_database.h"

namespace gptvq {

// Which history a journal holds: rows of the table `store_info`. A backup that is restored, a copy, or a standby that was behind
// holds an earlier part of a history that went on elsewhere; what is granted from then on must not look like what was granted
// there. Errors everywhere: those of SqlDatabase.

// Of the store; 0 until something happened. Errors also: DataLoss.
absl::StatusOr<std::int64_t> SelectGeneration(SqlDatabase& database);

// Begins a generation that is greater than the current one and than `after`, and returns it. How much greater is drawn, so
// that two histories that begin with the same backup do not meet either. To be run inside one transaction.
absl::StatusOr<std::int64_t> BeginGeneration(SqlDatabase& database, std::int64_t after);

// Notes where the store finds itself; where that is not where it was, a generation begins. To be run inside one transaction.
absl::Status NotePlace(SqlDatabase& database, std::string_view place);

// How many changes the store took since it was made; a restored one counts on. Only SqliteJobStore counts, for
// its high-water mark. Errors also: DataLoss.
absl::StatusOr<std::int64_t> SelectChangeCount(SqlDatabase& database);
absl::Status WriteChangeCount(SqlDatabase& database, std::int64_t count);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_STORE_HISTORY_H_
