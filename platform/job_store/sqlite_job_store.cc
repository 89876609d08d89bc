#include "platform/job_store/sqlite_job_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/job_rows.h"
#include "platform/job_store/sqlite_schema.h"
#include "platform/job_store/store_history.h"

namespace gptvq {
namespace {

// The database holds the key of lease tokens. SQLite gives its other files the mode of this one.
absl::Status MakePrivate(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::PermissionDeniedError(std::strerror(errno));
  fchmod(file, 0600);  // one of an earlier version; of somebody else it stays as it is
  close(file);
  return absl::OkStatus();
}

// Tells a file from every copy of it: its number, and when it was made where the file system knows. A file that was overwritten in
// place is not noticed here, but by the first epoch that it has forgotten.
absl::StatusOr<std::string> PlaceOf(const std::string& path) {
  struct statx info = {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_BTIME, &info) != 0) {
    return absl::UnavailableError(std::strerror(errno));
  }
  const bool dated = (info.stx_mask & STATX_BTIME) != 0;
  return absl::StrCat("file ", info.stx_ino, " of ", dated ? info.stx_btime.tv_sec : 0, ".",
                      dated ? info.stx_btime.tv_nsec : 0);
}

absl::Status CheckIntegrity(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows verdicts, database.Run(SqlStatement("PRAGMA quick_check(1)")));
  const std::string verdict = verdicts.empty() ? "" : verdicts.front().Bytes();
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the database is damaged: ", verdict));
}

absl::StatusOr<std::int64_t> CountChanges(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t tables,
                         database.QueryInteger("SELECT count(*) FROM sqlite_schema WHERE name = 'store_info'"));
  if (tables == 0) return 0;  // a new file, or one of which nothing is left
  return SelectChangeCount(database);
}

// What was acknowledged is there.
absl::Status CheckMark(SqliteDatabase& database, const HighWaterMark& mark) {
  if (!mark.found()) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t count, CountChanges(database));
  if (count >= mark.found()->change_count) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("ACKNOWLEDGED_CHANGES_MISSING: ", mark.found()->change_count,
                   " changes were acknowledged, the journal holds ", count,
                   ": its log is damaged, or an older file was put in its place. Nothing was changed. Restore a backup "
                   "(gptvq-coordinator restore), or go on without them (gptvq-coordinator accept-loss)"));
}

absl::StatusOr<SqliteDatabase> OpenDatabase(const std::string& path, const HighWaterMark& mark) {
  GPTVQ_RETURN_IF_ERROR(MakePrivate(path));
  // A log that was not checkpointed means that the last owner did not end cleanly.
  std::error_code ignored;
  const bool unclean = std::filesystem::file_size(path + "-wal", ignored) > 0 && !ignored;
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path));
  GPTVQ_RETURN_IF_ERROR(
      database.Execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  // The kind of journal is written into the file, which may be another program's.
  GPTVQ_RETURN_IF_ERROR(CheckSqliteOwnerOrEmpty(database));
  absl::Status whole = unclean ? CheckIntegrity(database) : absl::OkStatus();
  if (whole.ok()) whole = CheckMark(database, mark);
  if (!whole.ok()) {
    database.KeepLogOnClose();
    return whole;
  }
  GPTVQ_RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode = WAL"));
  if (unclean) {
    GPTVQ_RETURN_IF_ERROR(CheckIntegrity(database));
    // The last owner may have ended because an fsync failed. Then the log can be read, from the kernel's memory, and need not be
    // on the disk: what is written behind it would be lost with it.
    GPTVQ_RETURN_IF_ERROR(database.Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  }
  GPTVQ_RETURN_IF_ERROR(MigrateSqliteSchema(database));
  GPTVQ_RETURN_IF_ERROR(EnsureSecret(database));
  GPTVQ_ASSIGN_OR_RETURN(const std::string place, PlaceOf(path));
  GPTVQ_RETURN_IF_ERROR(database.InTransaction([&] { return NotePlace(database, place); }));
  return database;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteJobStore>> SqliteJobStore::Open(
    const std::string& directory, SqliteDatabase::SyncFailureHandler on_sync_failure) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<DirectoryLock> lock, DirectoryLock::Acquire(directory));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<HighWaterMark> mark, HighWaterMark::Open(directory + "/coordinator.mark"));
  const std::string path = directory + "/coordinator.db";
  absl::StatusOr<SqliteDatabase> database = OpenDatabase(path, *mark);
  if (!database.ok()) return WithContext(database.status(), path);
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t generation, SelectGeneration(*database));
  database->OnSyncFailure(std::move(on_sync_failure));
  return std::unique_ptr<SqliteJobStore>(
      new SqliteJobStore(std::move(lock), std::move(mark), *std::move(database), generation));
}

SqliteJobStore::SqliteJobStore(std::unique_ptr<DirectoryLock> lock, std::unique_ptr<HighWaterMark> mark,
                               SqliteDatabase database, std::int64_t generation)
    : lock_(std::move(lock)), mark_(std::move(mark)), database_(std::move(database)), generation_(generation) {}

SqliteJobStore::~SqliteJobStore() = default;

absl::StatusOr<JobStore::State> SqliteJobStore::LoadActive() {
  const std::lock_guard lock(mutex_);
  return SelectActive(database_);
}

absl::Status SqliteJobStore::BeginGeneration(std::int64_t after) {
  const std::lock_guard lock(mutex_);
  return Change([&]() -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(generation_, gptvq::BeginGeneration(database_, after));
    return absl::OkStatus();
  });
}

absl::Status SqliteJobStore::AppendAll(absl::Span<const Transition* const> transitions) {
  const std::lock_guard lock(mutex_);
  return Change([&]() -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<SqlStatement> statements, StatementsOf(database_, transitions));
    return database_.RunAll(statements).status();
  });
}

absl::Status SqliteJobStore::Change(absl::FunctionRef<absl::Status()> body) {
  std::int64_t change_count = 0;
  GPTVQ_RETURN_IF_ERROR(database_.InTransaction([&]() -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(body());
    // Read anew, because nobody knows whether a COMMIT that failed was stored.
    GPTVQ_ASSIGN_OR_RETURN(change_count, SelectChangeCount(database_));
    return WriteChangeCount(database_, ++change_count);
  }));
  mark_->Raise({generation_, change_count});
  return absl::OkStatus();
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
