#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_SCHEMA_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_SCHEMA_H_

#include "absl/status/status.h"
#include "platform/job_store/sqlite.h"

namespace gptvq {

// Whether a database is one of ours that this version can read. Writes nothing. Errors: FailedPrecondition when it belongs to
// another program or was written by a newer version of this one, naming both numbers; those of SQLite.
absl::Status CheckSqliteOwner(SqliteDatabase& database);

// The same, but an empty database will do, too: nobody has it yet.
absl::Status CheckSqliteOwnerOrEmpty(SqliteDatabase& database);

// Brings a database to the newest schema: numbered steps, forward only, each in one transaction, so that a crash in between
// leaves a database that the next start finishes. `PRAGMA user_version` holds the number of the last step.
// Errors: those of CheckSqliteOwnerOrEmpty; those of SQLite.
absl::Status MigrateSqliteSchema(SqliteDatabase& database);

// Number of the newest step.
int NewestSqliteSchema();

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_SCHEMA_H_
