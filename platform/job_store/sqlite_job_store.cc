#include "platform/job_store/sqlite_job_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/sqlite_rows.h"
#include "platform/job_store/sqlite_schema.h"

namespace gptvq {
namespace {

constexpr char kSecretName[] = "secret";

absl::Status NoJob(std::string_view job_id) {
  return absl::NotFoundError(absl::StrCat("no job ", std::string(job_id)));
}

absl::StatusOr<std::int64_t> SequenceOf(SqliteDatabase& database, std::string_view job_id) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database.Prepare("SELECT sequence FROM jobs WHERE job_id=?"));
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Bind(job_id).Step());
  if (!has_row) return NoJob(job_id);
  return statement.Integer();
}

absl::Status CheckIntegrity(SqliteDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement check, database.Prepare("PRAGMA quick_check(1)"));
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, check.Step());
  const std::string verdict = has_row ? check.Bytes() : "";
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the database is damaged: ", verdict));
}

absl::Status StoreSecret(SqliteDatabase& database) {
  std::random_device random;
  std::string secret;
  while (secret.size() < 32) secret += static_cast<char>(random());
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database.Prepare("INSERT OR IGNORE INTO store_info VALUES (?,?)"));
  return statement.Bind(kSecretName).BindBlob(secret).Run();
}

absl::StatusOr<SqliteDatabase> OpenDatabase(const std::string& path) {
  // A log that was not checkpointed means that the last owner did not end cleanly.
  std::error_code ignored;
  const bool unclean = std::filesystem::file_size(path + "-wal", ignored) > 0 && !ignored;
  GPTVQ_ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path));
  GPTVQ_RETURN_IF_ERROR(
      database.Execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                       "PRAGMA foreign_keys = ON"));
  if (unclean) GPTVQ_RETURN_IF_ERROR(CheckIntegrity(database));
  GPTVQ_RETURN_IF_ERROR(MigrateSqliteSchema(database));
  GPTVQ_RETURN_IF_ERROR(StoreSecret(database));
  return database;
}

}  // namespace

// Holds coordinator.lock of a directory as long as it lives; the system releases it whatever way the process ends.
class SqliteJobStore::DirectoryLock {
 public:
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Acquire(const std::string& directory) {
    const std::string path = directory + "/coordinator.lock";
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return absl::PermissionDeniedError(absl::StrCat(path, ": ", std::strerror(errno)));
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      close(file);
      return absl::FailedPreconditionError(absl::StrCat(directory, " is in use by another coordinator"));
    }
    return std::unique_ptr<DirectoryLock>(new DirectoryLock(file));
  }
  ~DirectoryLock() { close(file_); }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int file) : file_(file) {}

  const int file_;
};

absl::StatusOr<std::unique_ptr<SqliteJobStore>> SqliteJobStore::Open(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return absl::PermissionDeniedError(absl::StrCat(directory, ": ", error.message()));
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
  State state;
  GPTVQ_ASSIGN_OR_RETURN(state.last_sequence, database_.QueryInteger("SELECT coalesce(max(sequence), 0) FROM jobs"));
  GPTVQ_ASSIGN_OR_RETURN(
      state.active_jobs,
      SelectJobs(database_, "WHERE state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY sequence",
                 [](SqliteStatement&) {}));
  for (JobSnapshot& job : state.active_jobs) {
    GPTVQ_RETURN_IF_ERROR(WithContext(LoadTasksAndLayers(database_, job), job.description.job_id));
  }
  return state;
}

absl::Status SqliteJobStore::Append(const Transition& transition) {
  const std::lock_guard lock(mutex_);
  return database_.InTransaction([&]() -> absl::Status {
    if (transition.created) {
      GPTVQ_RETURN_IF_ERROR(InsertJob(database_, *transition.created));
      return InsertEvents(database_, transition.created->description.sequence, transition.events);
    }
    GPTVQ_ASSIGN_OR_RETURN(const std::int64_t sequence, SequenceOf(database_, transition.job_id));
    if (transition.job) GPTVQ_RETURN_IF_ERROR(UpdateJob(database_, sequence, *transition.job));
    for (const Transition::TaskChange& change : transition.tasks) {
      GPTVQ_RETURN_IF_ERROR(UpdateTask(database_, sequence, change));
    }
    if (transition.layer) GPTVQ_RETURN_IF_ERROR(InsertLayer(database_, sequence, *transition.layer));
    return InsertEvents(database_, sequence, transition.events);
  });
}

absl::StatusOr<JobSnapshot> SqliteJobStore::ReadJob(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  GPTVQ_ASSIGN_OR_RETURN(std::vector<JobSnapshot> jobs,
                         SelectJobs(database_, "WHERE job_id=?", [&](SqliteStatement& query) { query.Bind(job_id); }));
  if (jobs.empty()) return NoJob(job_id);
  GPTVQ_RETURN_IF_ERROR(WithContext(LoadTasksAndLayers(database_, jobs[0]), job_id));
  return std::move(jobs[0]);
}

absl::StatusOr<std::optional<std::string>> SqliteJobStore::FindRequest(std::string_view request_id) {
  const std::lock_guard lock(mutex_);
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database_.Prepare("SELECT job_id FROM jobs WHERE request_id=?"));
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Bind(request_id).Step());
  return has_row ? std::optional(statement.Bytes()) : std::nullopt;
}

absl::StatusOr<std::vector<PublishedLayer>> SqliteJobStore::ReadLayers(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  const absl::StatusOr<std::int64_t> sequence = SequenceOf(database_, job_id);
  if (absl::IsNotFound(sequence.status())) return std::vector<PublishedLayer>();
  GPTVQ_RETURN_IF_ERROR(sequence.status());
  return SelectLayers(database_, *sequence);
}

absl::StatusOr<std::vector<JobEvent>> SqliteJobStore::ReadEvents(std::string_view job_id, std::int64_t after_seq,
                                                                 int limit) {
  const std::lock_guard lock(mutex_);
  const absl::StatusOr<std::int64_t> sequence = SequenceOf(database_, job_id);
  if (absl::IsNotFound(sequence.status())) return std::vector<JobEvent>();
  GPTVQ_RETURN_IF_ERROR(sequence.status());
  return SelectEvents(database_, *sequence, after_seq, limit);
}

absl::StatusOr<std::vector<JobSnapshot>> SqliteJobStore::ListJobs(const Query& query) {
  const std::lock_guard lock(mutex_);
  std::string where = "WHERE sequence < ?";
  if (!query.states.empty()) {
    // One parameter per state; their number is bounded by the number of states.
    where += " AND state IN (?";
    for (std::size_t i = 1; i < query.states.size(); ++i) where += ",?";
    where += ")";
  }
  where += " ORDER BY sequence DESC LIMIT ?";
  return SelectJobs(database_, where, [&](SqliteStatement& statement) {
    statement.Bind(query.before_sequence.value_or(std::numeric_limits<std::int64_t>::max()));
    for (JobState state : query.states) statement.Bind(Name(state));
    statement.Bind(query.limit);
  });
}

absl::StatusOr<std::string> SqliteJobStore::Secret() {
  const std::lock_guard lock(mutex_);
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database_.Prepare("SELECT value FROM store_info WHERE name=?"));
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Bind(kSecretName).Step());
  if (!has_row) return absl::DataLossError("the journal has lost its secret");
  return statement.Bytes();
}

}  // namespace gptvq
