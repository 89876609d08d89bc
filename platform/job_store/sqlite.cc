#include "platform/job_store/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// How long the write-ahead log may grow before it is copied into the database: SQLite's own default.
constexpr int kCheckpointPages = 1000;

bool IsSyncFailure(int extended_code) {
  return extended_code == SQLITE_IOERR_FSYNC || extended_code == SQLITE_IOERR_DIR_FSYNC;
}

// After a commit, in place of SQLite's own checkpoint, which keeps a failed fsync to itself. Other errors of a checkpoint are no
// matter: the log keeps what was not copied, and the next one tries again.
int Checkpoint(void*, sqlite3* database, const char* schema, int log_pages) {
  if (log_pages < kCheckpointPages) return SQLITE_OK;
  sqlite3_wal_checkpoint_v2(database, schema, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  const int code = sqlite3_extended_errcode(database);
  return IsSyncFailure(code) ? code : SQLITE_OK;
}

absl::Status ErrorOf(sqlite3* database, absl::string_view what) {
  const std::string message = absl::StrCat("sqlite: ", what, ": ", sqlite3_errmsg(database));
  switch (sqlite3_extended_errcode(database)) {
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_UNIQUE: return absl::AlreadyExistsError(message);
    default: break;
  }
  switch (sqlite3_errcode(database) & 0xff) {  // the primary code
    case SQLITE_CONSTRAINT: return absl::InternalError(message);
    case SQLITE_FULL: return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(message);
    default: return absl::UnavailableError(message);
  }
}

void Bind(sqlite3_stmt* statement, int place, const SqlValue& value) {
  int code = SQLITE_OK;
  // A null pointer would bind NULL, which neither the empty text nor the empty blob is; data() of a string is never null.
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    code = sqlite3_bind_int64(statement, place, *integer);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    code = sqlite3_bind_text64(statement, place, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
  } else if (const auto* blob = std::get_if<SqlBlob>(&value)) {
    code = sqlite3_bind_blob64(statement, place, blob->bytes.data(), blob->bytes.size(), SQLITE_STATIC);
  } else {
    code = sqlite3_bind_null(statement, place);
  }
  GPTVQ_CHECK(code == SQLITE_OK);
}

SqlValue Column(sqlite3_stmt* statement, int column) {
  const auto bytes = [&] {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    return data == nullptr ? std::string() : std::string(data, size);
  };
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER: return sqlite3_column_int64(statement, column);
    case SQLITE_NULL: return std::monostate();
    case SQLITE_BLOB: return SqlBlob{bytes()};
    default: return bytes();
  }
}

}  // namespace

void SqliteDatabase::Finalizer::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void SqliteDatabase::Closer::operator()(sqlite3* database) const { sqlite3_close(database); }

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  // NOMUTEX: the owner serialises, a second lock inside SQLite would only cost.
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  GPTVQ_CHECK(handle != nullptr);
  SqliteDatabase database(handle);
  if (code != SQLITE_OK) return ErrorOf(handle, path);
  sqlite3_wal_hook(handle, Checkpoint, nullptr);
  return database;
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  GPTVQ_RETURN_IF_ERROR(sync_failure_);
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return Failed(sql);
}

absl::StatusOr<std::vector<SqlRows>> SqliteDatabase::RunAll(const std::vector<SqlStatement>& statements) {
  GPTVQ_RETURN_IF_ERROR(sync_failure_);
  std::vector<SqlRows> answers;
  for (const SqlStatement& statement : statements) {
    GPTVQ_ASSIGN_OR_RETURN(sqlite3_stmt * prepared, Prepare(statement.text()));
    GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, RunPrepared(prepared, statement));
    answers.push_back(std::move(rows));
  }
  return answers;
}

absl::StatusOr<sqlite3_stmt*> SqliteDatabase::Prepare(const std::string& text) {
  Prepared& prepared = prepared_[text];
  if (prepared != nullptr) return prepared.get();
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(database_.get(), text.data(), static_cast<int>(text.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    const absl::Status error = Failed(text);
    prepared_.erase(text);
    return error;
  }
  prepared.reset(statement);
  return statement;
}

absl::StatusOr<SqlRows> SqliteDatabase::RunPrepared(sqlite3_stmt* prepared, const SqlStatement& statement) {
  int place = 0;
  for (const SqlValue& value : statement.values()) Bind(prepared, ++place, value);
  SqlRows rows;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
    std::vector<SqlValue> values;
    for (int column = 0; column < sqlite3_column_count(prepared); ++column) values.push_back(Column(prepared, column));
    rows.emplace_back(std::move(values));
  }
  const absl::Status status =
      code == SQLITE_DONE ? statement.CheckChangedRows(sqlite3_changes64(database_.get())) : Failed(statement.text());
  sqlite3_reset(prepared);
  GPTVQ_RETURN_IF_ERROR(status);
  return rows;
}

void SqliteDatabase::KeepLogOnClose() {
  GPTVQ_CHECK(sqlite3_db_config(database_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr) == SQLITE_OK);
}

absl::Status SqliteDatabase::Failed(absl::string_view what) {
  absl::Status error = ErrorOf(database_.get(), what);
  if (IsSyncFailure(sqlite3_extended_errcode(database_.get()))) {
    sync_failure_ = error;
    if (on_sync_failure_) on_sync_failure_(error);
  }
  return error;
}

absl::Status SqliteDatabase::InTransaction(absl::FunctionRef<absl::Status()> body) {
  GPTVQ_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  absl::Status status = body();
  if (status.ok()) status = Execute("COMMIT");
  // SQLite may have rolled back by itself; then this is refused, and rightly so.
  if (!status.ok()) Execute("ROLLBACK").IgnoreError();
  return status;
}

}  // namespace gptvq
