#include "platform/job_store/postgres_schema.h"

#include <array>

#include "core/base/status_macros.h"
#include "platform/job_store/schema_steps.h"

namespace gptvq {
namespace {

// "gptv": the number of the advisory lock that those who migrate hold.
constexpr std::int64_t kMigrationLock = 0x67707476;

constexpr std::array<const char*, 7> kSteps = {
    R"sql(
CREATE TABLE store_info (
  name  TEXT PRIMARY KEY,
  value BYTEA NOT NULL
);

CREATE TABLE leader (
  only_row     BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
  term         BIGINT NOT NULL,
  holder       TEXT NOT NULL,
  expire_time  TIMESTAMPTZ NOT NULL,
  append_count BIGINT NOT NULL
);
INSERT INTO leader (term, holder, expire_time, append_count) VALUES (0, '', '-infinity', 0);

CREATE TABLE jobs (
  sequence         BIGINT PRIMARY KEY,
  job_id           TEXT NOT NULL UNIQUE,
  request_id       TEXT NOT NULL UNIQUE,
  spec             BYTEA NOT NULL,
  layer_count      BIGINT NOT NULL,
  shard_layers     BIGINT NOT NULL,
  task_count       BIGINT NOT NULL,
  create_time_us   BIGINT NOT NULL,
  revision         BIGINT NOT NULL,
  state            TEXT NOT NULL,
  numerics_class   TEXT NOT NULL,
  end_time_us      BIGINT,
  failure          BYTEA,
  published_layers BIGINT NOT NULL,
  committed_tasks  BIGINT NOT NULL,
  last_event_seq   BIGINT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, sequence);

CREATE TABLE tasks (
  sequence               BIGINT NOT NULL REFERENCES jobs,
  task_index             BIGINT NOT NULL,
  task_id                TEXT NOT NULL,
  kind                   TEXT NOT NULL,
  layer_begin            BIGINT NOT NULL,
  layer_end              BIGINT NOT NULL,
  input_boundary_of      BIGINT,
  output_boundary_wanted BIGINT NOT NULL,
  target                 TEXT NOT NULL,
  revision               BIGINT NOT NULL,
  state                  TEXT NOT NULL,
  epoch                  BIGINT NOT NULL,
  attempt                BIGINT NOT NULL,
  worker_name            TEXT NOT NULL,
  incarnation            TEXT NOT NULL,
  poll_id                TEXT NOT NULL,
  failures_uncounted     BIGINT NOT NULL,
  failures_transient     BIGINT NOT NULL,
  failures_bug           BIGINT NOT NULL,
  failures_lost          BIGINT NOT NULL,
  last_failure           BYTEA,
  result                 BYTEA,
  PRIMARY KEY (sequence, task_index)
);

CREATE TABLE task_dependencies (
  sequence   BIGINT NOT NULL REFERENCES jobs,
  task_index BIGINT NOT NULL,
  depends_on BIGINT NOT NULL,
  PRIMARY KEY (sequence, task_index, depends_on)
);

CREATE TABLE layers (
  sequence BIGINT NOT NULL REFERENCES jobs,
  layer    BIGINT NOT NULL,
  task_id  TEXT NOT NULL,
  epoch    BIGINT NOT NULL,
  record   BYTEA NOT NULL,
  PRIMARY KEY (sequence, layer)
);

CREATE TABLE events (
  sequence BIGINT NOT NULL REFERENCES jobs,
  seq      BIGINT NOT NULL,
  record   BYTEA NOT NULL,
  PRIMARY KEY (sequence, seq)
);
)sql",
    R"sql(
ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
)sql",
    R"sql(
CREATE TABLE doomed_artifacts (
  sha256     TEXT PRIMARY KEY,
  size_bytes BIGINT NOT NULL,
  kind       TEXT NOT NULL,
  state      TEXT NOT NULL,
  since_us   BIGINT NOT NULL
);
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN failed_attempts BYTEA;

CREATE TABLE workers (
  name     TEXT PRIMARY KEY,
  revision BIGINT NOT NULL,
  record   BYTEA NOT NULL
);
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN repair BYTEA;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN checkpoint BYTEA;
ALTER TABLE tasks ADD COLUMN most_linears BIGINT NOT NULL DEFAULT 0;
)sql",
    R"sql(
ALTER TABLE tasks ADD COLUMN audit BYTEA;
)sql",
};

// The number of the last step; 0 for a database without our schema, which is made then.
absl::StatusOr<std::int64_t> VersionOf(PostgresConnection& connection) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t schemas,
                         connection.QueryInteger("SELECT count(*) FROM pg_namespace WHERE nspname = 'gptvq'"));
  if (schemas == 0) {
    // The version row comes with the first step or not at all: this is the transaction of the caller.
    GPTVQ_RETURN_IF_ERROR(connection.Execute(
        "CREATE SCHEMA gptvq; "
        "CREATE TABLE gptvq.schema_version (only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row), "
        "version BIGINT NOT NULL); INSERT INTO gptvq.schema_version (version) VALUES (0)"));
    return 0;
  }
  GPTVQ_ASSIGN_OR_RETURN(
      const std::int64_t tables,
      connection.QueryInteger(
          "SELECT count(*) FROM pg_tables WHERE schemaname = 'gptvq' AND tablename = 'schema_version'"));
  if (tables == 0) return absl::FailedPreconditionError("the schema gptvq of the database belongs to another program");
  return connection.QueryInteger("SELECT version FROM gptvq.schema_version");
}

absl::Status MigrateLocked(PostgresConnection& connection) {
  // Waits for another one that migrates, at most lock_timeout.
  SqlStatement lock("SELECT pg_advisory_xact_lock($1)");
  GPTVQ_RETURN_IF_ERROR(connection.Run(lock.Bind(kMigrationLock)).status());
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t version, VersionOf(connection));
  return RunSchemaSteps(version, kSteps, [&](std::int64_t step, const char* sql) -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(connection.Execute(sql));
    return connection.Run(SqlStatement("UPDATE gptvq.schema_version SET version=$1").Bind(step)).status();
  });
}

}  // namespace

int NewestPostgresSchema() { return static_cast<int>(kSteps.size()); }

absl::Status MigratePostgresSchema(PostgresConnection& connection) {
  return connection.InTransaction("BEGIN", [&] { return MigrateLocked(connection); });
}

}  // namespace gptvq
