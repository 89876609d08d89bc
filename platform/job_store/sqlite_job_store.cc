#include "platform/job_store/sqlite_job_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/job_rows.h"
#include "platform/job_store/sqlite_schema.h"

namespace gptvq {
namespace {

absl::Status CheckIntegrity(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows verdicts, database.Run(SqlStatement("PRAGMA quick_check(1)")));
  const std::string verdict = verdicts.empty() ? "" : verdicts.front().Bytes();
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the database is damaged: ", verdict));
}

// The database holds the key of lease tokens. SQLite gives its other files the mode of this one.
absl::Status MakePrivate(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::PermissionDeniedError(std::strerror(errno));
  fchmod(file, 0600);  // one of an earlier version; of somebody else it stays as it is
  close(file);
  return absl::OkStatus();
}

absl::StatusOr<SqliteDatabase> OpenDatabase(const std::string& path) {
  GPTVQ_RETURN_IF_ERROR(MakePrivate(path));
  // A log that was not checkpointed means that the last owner did not end cleanly.
  std::error_code ignored;
  const bool unclean = std::filesystem::file_size(path + "-wal", ignored) > 0 && !ignored;
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path));
  GPTVQ_RETURN_IF_ERROR(
      database.Execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  // The kind of journal is written into the file, which may be another program's.
  GPTVQ_RETURN_IF_ERROR(CheckSqliteOwnerOrEmpty(database));
  GPTVQ_RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode = WAL"));
  if (unclean) GPTVQ_RETURN_IF_ERROR(CheckIntegrity(database));
  GPTVQ_RETURN_IF_ERROR(MigrateSqliteSchema(database));
  GPTVQ_RETURN_IF_ERROR(EnsureSecret(database));
  return database;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteJobStore>> SqliteJobStore::Open(const std::string& directory) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<DirectoryLock> lock, DirectoryLock::Acquire(directory));
  const std::string path = directory + "/coordinator.db";
  absl::StatusOr<SqliteDatabase> database = OpenDatabase(path);
  if (!database.ok()) return WithContext(database.status(), path);
  return std::unique_ptr<SqliteJobStore>(new SqliteJobStore(std::move(lock), *std::move(database)));
}

SqliteJobStore::SqliteJobStore(std::unique_ptr<DirectoryLock> lock, SqliteDatabase database)
    : lock_(std::move(lock)), database_(std::move(database)) {}

SqliteJobStore::~SqliteJobStore() = default;

absl::StatusOr<JobStore::State> SqliteJobStore::LoadActive() {
  const std::lock_guard lock(mutex_);
  return SelectActive(database_);
}

absl::Status SqliteJobStore::Append(const Transition& transition) {
  const std::lock_guard lock(mutex_);
  return database_.InTransaction([&]() -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t sequence, SequenceOf(database_, transition));
    return database_.RunAll(StatementsOf(transition, sequence)).status();
  });
}

absl::StatusOr<JobSnapshot> SqliteJobStore::ReadJob(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  return SelectJob(database_, job_id);
}

absl::StatusOr<std::optional<std::string>> SqliteJobStore::FindRequest(std::string_view request_id) {
  const std::lock_guard lock(mutex_);
  return SelectRequest(database_, request_id);
}

absl::StatusOr<std::vector<PublishedLayer>> SqliteJobStore::ReadLayers(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  return SelectLayers(database_, job_id);
}

absl::StatusOr<std::vector<JobEvent>> SqliteJobStore::ReadEvents(std::string_view job_id, std::int64_t after_seq,
                                                                 int limit) {
  const std::lock_guard lock(mutex_);
  return SelectEvents(database_, job_id, after_seq, limit);
}

absl::StatusOr<std::vector<JobSnapshot>> SqliteJobStore::ListJobs(const Query& query) {
  const std::lock_guard lock(mutex_);
  return SelectJobs(database_, query);
}

absl::StatusOr<std::string> SqliteJobStore::Secret() {
  const std::lock_guard lock(mutex_);
  return SelectSecret(database_);
}

}  // namespace gptvq
