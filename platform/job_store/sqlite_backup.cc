#include "platform/job_store/sqlite_backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/directory_lock.h"
#include "platform/job_store/high_water_mark.h"
#include "platform/job_store/sqlite.h"
#include "platform/job_store/sqlite_schema.h"
#include "platform/job_store/store_history.h"

namespace gptvq {
namespace {

constexpr char kJournalName[] = "/coordinator.db";
constexpr char kMarkName[] = "/coordinator.mark";

// A file under a name of its own until it is complete; removed if that does not happen.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(std::string final_path)
      : path_(absl::StrCat(final_path, ".unfinished")), final_path_(std::move(final_path)) {
    Remove();  // of a run that was killed
  }
  ~UnfinishedFile() { Remove(); }

  const std::string& path() const { return path_; }

  // Makes it durable and gives it its name.
  absl::Status Finish() {
    GPTVQ_RETURN_IF_ERROR(Sync(path_));
    if (std::rename(path_.c_str(), final_path_.c_str()) != 0) return SystemError(final_path_);
    return Sync(std::filesystem::path(final_path_).parent_path().string());
  }

 private:
  static absl::Status SystemError(const std::string& path) {
    const std::string message = absl::StrCat(path, ": ", std::strerror(errno));
    return errno == ENOSPC ? absl::ResourceExhaustedError(message) : absl::PermissionDeniedError(message);
  }

  static absl::Status Sync(const std::string& path) {
    const int file = open(path.empty() ? "." : path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return SystemError(path);
    const int result = fsync(file);
    const absl::Status status = result == 0 ? absl::OkStatus() : SystemError(path);
    close(file);
    return status;
  }

  void Remove() const {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) unlink((path_ + suffix).c_str());
  }

  const std::string path_;
  const std::string final_path_;
};

absl::Status MakePrivate(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat(path, ": ", std::strerror(errno)));
  close(file);
  return absl::OkStatus();
}

// Every page and every index; quick_check would not compare the latter.
absl::Status CheckEveryPage(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows verdicts, database.Run(SqlStatement("PRAGMA integrity_check(1)")));
  const std::string verdict = verdicts.empty() ? "" : verdicts.front().Bytes();
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the journal is damaged: ", verdict));
}

absl::StatusOr<JournalSummary> Summarize(SqliteDatabase& database) {
  JournalSummary summary;
  GPTVQ_ASSIGN_OR_RETURN(summary.schema, database.QueryInteger("PRAGMA user_version"));
  GPTVQ_ASSIGN_OR_RETURN(summary.jobs, database.QueryInteger("SELECT count(*) FROM jobs"));
  GPTVQ_ASSIGN_OR_RETURN(
      summary.active_jobs,
      database.QueryInteger("SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"));
  return summary;
}

absl::Status CopyInto(SqliteDatabase& from, const std::string& path) {
  return from.Run(SqlStatement("VACUUM INTO $1").Bind(std::string_view(path))).status();
}

// One that is there: SQLite would make an empty one.
absl::Status RequirePresent(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
}

absl::StatusOr<SqliteDatabase> OpenExisting(const std::string& path) {
  GPTVQ_RETURN_IF_ERROR(RequirePresent(path));
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path));
  GPTVQ_RETURN_IF_ERROR(database.Execute("PRAGMA busy_timeout = 5000"));  // the coordinator may be just starting
  GPTVQ_RETURN_IF_ERROR(WithContext(CheckSqliteOwner(database), path));
  return database;
}

// Nothing that was granted since what the journal holds is granted again, and it counts on above what was acknowledged.
absl::Status LeaveLostHistory(SqliteDatabase& journal, const HighWaterMark::Value& mark) {
  return journal.InTransaction([&]() -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(BeginGeneration(journal, mark.generation).status());
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t count, SelectChangeCount(journal));
    return WriteChangeCount(journal, std::max(count, mark.change_count) + 1);
  });
}

absl::Status RequireAbsent(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 && errno == ENOENT) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(path, " exists already; nothing was changed. Move it away first"));
}

HighWaterMark::Value MarkIn(const std::string& data_directory) {
  return HighWaterMark::Read(data_directory + kMarkName).value_or(HighWaterMark::Value());
}

}  // namespace

absl::StatusOr<JournalSummary> BackUpJournal(const std::string& data_directory, const std::string& output) {
  GPTVQ_RETURN_IF_ERROR(RequireAbsent(output));
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase journal, OpenExisting(data_directory + kJournalName));
  UnfinishedFile file(output);
  GPTVQ_RETURN_IF_ERROR(MakePrivate(file.path()));
  GPTVQ_RETURN_IF_ERROR(WithContext(CopyInto(journal, file.path()), output));
  JournalSummary summary;
  {
    GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase copy, SqliteDatabase::Open(file.path()));
    GPTVQ_RETURN_IF_ERROR(WithContext(CheckEveryPage(copy), output));
    GPTVQ_ASSIGN_OR_RETURN(summary, Summarize(copy));
  }
  GPTVQ_RETURN_IF_ERROR(file.Finish());
  return summary;
}

absl::StatusOr<JournalSummary> RestoreJournal(const std::string& input, const std::string& data_directory) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<DirectoryLock> lock, DirectoryLock::Acquire(data_directory));
  const std::string path = data_directory + kJournalName;
  for (const char* suffix : {"", "-wal"}) GPTVQ_RETURN_IF_ERROR(RequireAbsent(path + suffix));
  UnfinishedFile file(path);
  {
    GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase backup, OpenExisting(input));
    GPTVQ_RETURN_IF_ERROR(WithContext(CheckEveryPage(backup), input));
    GPTVQ_RETURN_IF_ERROR(MakePrivate(file.path()));
    GPTVQ_RETURN_IF_ERROR(WithContext(CopyInto(backup, file.path()), path));
  }
  JournalSummary summary;
  {
    GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase copy, SqliteDatabase::Open(file.path()));
    GPTVQ_RETURN_IF_ERROR(LeaveLostHistory(copy, MarkIn(data_directory)));
    GPTVQ_RETURN_IF_ERROR(WithContext(CheckEveryPage(copy), path));
    GPTVQ_ASSIGN_OR_RETURN(summary, Summarize(copy));
  }
  GPTVQ_RETURN_IF_ERROR(file.Finish());
  return summary;
}

absl::StatusOr<JournalSummary> AcceptLoss(const std::string& data_directory) {
  const std::string path = data_directory + kJournalName;
  GPTVQ_RETURN_IF_ERROR(RequirePresent(path));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<DirectoryLock> lock, DirectoryLock::Acquire(data_directory));
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase journal, SqliteDatabase::Open(path));
  GPTVQ_RETURN_IF_ERROR(journal.Execute("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL"));
  GPTVQ_RETURN_IF_ERROR(WithContext(CheckSqliteOwnerOrEmpty(journal), path));
  GPTVQ_RETURN_IF_ERROR(WithContext(CheckEveryPage(journal), path));
  GPTVQ_RETURN_IF_ERROR(WithContext(MigrateSqliteSchema(journal), path));  // nothing may be left of it
  const HighWaterMark::Value mark = MarkIn(data_directory);
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t count, SelectChangeCount(journal));
  GPTVQ_RETURN_IF_ERROR(WithContext(LeaveLostHistory(journal, mark), path));
  GPTVQ_ASSIGN_OR_RETURN(JournalSummary summary, Summarize(journal));
  summary.lost_changes = std::max<std::int64_t>(0, mark.change_count - count);
  return summary;
}

}  // namespace gptvq
