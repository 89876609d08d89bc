#include "platform/job_store/sqlite_schema.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/schema_steps.h"

namespace gptvq {
namespace {

// "gptv": tells our databases from those of other programs (PRAGMA application_id).
constexpr std::int64_t kApplicationId = 0x67707476;

constexpr std::array<const char*, 7> kSteps = {
    R"sql(
CREATE TABLE store_info (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  sequence         INTEGER PRIMARY KEY,
  job_id           TEXT NOT NULL UNIQUE,
  request_id       TEXT NOT NULL UNIQUE,
  spec             BLOB NOT NULL,
  layer_count      INTEGER NOT NULL,
  shard_layers     INTEGER NOT NULL,
  task_count       INTEGER NOT NULL,
  create_time_us   INTEGER NOT NULL,
  revision         INTEGER NOT NULL,
  state            TEXT NOT NULL,
  numerics_class   TEXT NOT NULL,
  end_time_us      INTEGER,
  failure          BLOB,
  published_layers INTEGER NOT NULL,
  committed_tasks  INTEGER NOT NULL,
  last_event_seq   INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, sequence);

CREATE TABLE tasks (
  sequence               INTEGER NOT NULL REFERENCES jobs,
  task_index             INTEGER NOT NULL,
  task_id                TEXT NOT NULL,
  kind                   TEXT NOT NULL,
  layer_begin            INTEGER NOT NULL,
  layer_end              INTEGER NOT NULL,
  input_boundary_of      INTEGER,
  output_boundary_wanted INTEGER NOT NULL,
  target                 TEXT NOT NULL,
  revision               INTEGER NOT NULL,
  state                  TEXT NOT NULL,
  epoch                  INTEGER NOT NULL,
  attempt                INTEGER NOT NULL,
  worker_name            TEXT NOT NULL,
  incarnation            TEXT NOT NULL,
  poll_id                TEXT NOT NULL,
  failures_uncounted     INTEGER NOT NULL,
  failures_transient     INTEGER NOT NULL,
  failures_bug           INTEGER NOT NULL,
  failures_lost          INTEGER NOT NULL,
  last_failure           BLOB,
  result                 BLOB,
  PRIMARY KEY (sequence, task_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_dependencies (
  sequence   INTEGER NOT NULL REFERENCES jobs,
  task_index INTEGER NOT NULL,
  depends_on INTEGER NOT NULL,
  PRIMARY KEY (sequence, task_index, depends_on)
) STRICT, WITHOUT ROWID;

CREATE TABLE layers (
  sequence INTEGER NOT NULL REFERENCES jobs,
  layer    INTEGER NOT NULL,
  task_id  TEXT NOT NULL,
  epoch    INTEGER NOT NULL,
  record   BLOB NOT NULL,
  PRIMARY KEY (sequence, layer)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  sequence INTEGER NOT NULL REFERENCES jobs,
  seq      INTEGER NOT NULL,
  record   BLOB NOT NULL,
  PRIMARY KEY (sequence, seq)
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
)sql",
    R"sql(
CREATE TABLE doomed_artifacts (
  sha256     TEXT PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  state      TEXT NOT NULL,
  since_us   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN failed_attempts BLOB;

CREATE TABLE workers (
  name     TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  record   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN repair BLOB;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN checkpoint BLOB;
ALTER TABLE tasks ADD COLUMN most_linears INTEGER NOT NULL DEFAULT 0;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN audit BLOB;
)sql",
};

}  // namespace

int NewestSqliteSchema() { return static_cast<int>(kSteps.size()); }

absl::Status CheckSqliteOwner(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t version, database.QueryInteger("PRAGMA user_version"));
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t application_id, database.QueryInteger("PRAGMA application_id"));
  if (application_id != kApplicationId) {
    return absl::FailedPreconditionError("the database belongs to another program");
  }
  if (version <= NewestSqliteSchema()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the database has schema ", version, ", this version reads up to ",
                                                    NewestSqliteSchema(), "; start a newer coordinator"));
}

absl::Status CheckSqliteOwnerOrEmpty(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t tables, database.QueryInteger("SELECT count(*) FROM sqlite_schema"));
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t version, database.QueryInteger("PRAGMA user_version"));
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t application_id, database.QueryInteger("PRAGMA application_id"));
  const bool is_empty = application_id == 0 && version == 0 && tables == 0;
  return is_empty ? absl::OkStatus() : CheckSqliteOwner(database);
}

absl::Status MigrateSqliteSchema(SqliteDatabase& database) {
  GPTVQ_RETURN_IF_ERROR(CheckSqliteOwnerOrEmpty(database));
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t version, database.QueryInteger("PRAGMA user_version"));
  return RunSchemaSteps(version, kSteps, [&](std::int64_t step, const char* sql) {
    return database.InTransaction([&] {
      GPTVQ_RETURN_IF_ERROR(database.Execute(sql));
      return database.Execute(
          absl::StrCat("PRAGMA application_id = ", kApplicationId, "; PRAGMA user_version = ", step));
    });
  });
}

}  // namespace gptvq
