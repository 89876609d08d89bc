#ifndef GPTVQ_PLATFORM_JOB_STORE_POSTGRES_SCHEMA_H_
#define GPTVQ_PLATFORM_JOB_STORE_POSTGRES_SCHEMA_H_

#include "absl/status/status.h"
#include "platform/job_store/postgres.h"

namespace gptvq {

// Brings a database to the newest schema (schema_steps.h): all missing steps in one transaction, under an advisory lock, so
// that coordinators that start together do it once. Everything lives in the schema `gptvq`; the row of
// `gptvq.schema_version` holds the number of the last step.
// Errors: FailedPrecondition when a schema `gptvq` belongs to another program or was written by a newer version of this one,
// naming both numbers; those of PostgresConnection.
absl::Status MigratePostgresSchema(PostgresConnection& connection);

// Number of the newest step.
int NewestPostgresSchema();

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_POSTGRES_SCHEMA_H_
