#ifndef GPTVQ_PLATFORM_JOB_STORE_JOB_ROWS_H_
#define GPTVQ_PLATFORM_JOB_STORE_JOB_ROWS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/job/transition.h"
#include "platform/job_store/job_store.h"
#include "platform/job_store/sql_database.h"

namespace gptvq {

// Values of platform/job as rows of the schema, and back, for every SQL database: the tables have the same names and
// columns everywhere. What reads several tables is to be called inside one transaction or by the only writer.
// Private to the SQL stores. Errors: those of SqlDatabase; DataLoss for rows that no version of this program wrote.

// What stores `transitions`, in order; each change only over its previous revision (Aborted). To be made and run inside one
// transaction. Errors also: NotFound (no such job).
absl::StatusOr<std::vector<SqlStatement>> StatementsOf(SqlDatabase& database,
                                                       absl::Span<const Transition* const> transitions);

// The reads of JobStore.
absl::StatusOr<JobStore::State> SelectActive(SqlDatabase& database);
absl::StatusOr<JobSnapshot> SelectJob(SqlDatabase& database, std::string_view job_id);
absl::StatusOr<std::optional<std::string>> SelectRequest(SqlDatabase& database, std::string_view request_id);
absl::StatusOr<std::vector<PublishedLayer>> SelectLayers(SqlDatabase& database, std::string_view job_id);
absl::StatusOr<std::vector<JobEvent>> SelectEvents(SqlDatabase& database, std::string_view job_id,
                                                   std::int64_t after_seq, int limit);
absl::StatusOr<std::vector<JobSnapshot>> SelectJobs(SqlDatabase& database, const JobStore::Query& query);

// Draws the store's secret if it has none yet.
absl::Status EnsureSecret(SqlDatabase& database);
absl::StatusOr<std::string> SelectSecret(SqlDatabase& database);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_JOB_ROWS_H_
