#include "platform/job_store/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

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

}  // namespace

void SqliteStatement::Finalizer::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

SqliteStatement& SqliteStatement::Bind(std::int64_t value) {
  GPTVQ_CHECK(sqlite3_bind_int64(statement_.get(), ++parameter_, value) == SQLITE_OK);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(std::string_view text) {
  // A null pointer would bind NULL, which the empty text is not.
  const char* data = text.empty() ? "" : text.data();
  GPTVQ_CHECK(sqlite3_bind_text64(statement_.get(), ++parameter_, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8) ==
              SQLITE_OK);
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  GPTVQ_CHECK(sqlite3_bind_blob64(statement_.get(), ++parameter_, data, bytes.size(), SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

SqliteStatement& SqliteStatement::BindNull() {
  GPTVQ_CHECK(sqlite3_bind_null(statement_.get(), ++parameter_) == SQLITE_OK);
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  column_ = 0;
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: return ErrorOf(sqlite3_db_handle(statement_.get()), sqlite3_sql(statement_.get()));
  }
}

absl::Status SqliteStatement::Run() {
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, Step());
  GPTVQ_CHECK(!has_row);
  sqlite3_reset(statement_.get());
  parameter_ = 0;
  return absl::OkStatus();
}

std::int64_t SqliteStatement::Integer() { return sqlite3_column_int64(statement_.get(), column_++); }

std::optional<std::int64_t> SqliteStatement::OptionalInteger() {
  if (!IsNull()) return Integer();
  Skip();
  return std::nullopt;
}

std::string SqliteStatement::Bytes() {
  const int column = column_++;
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

bool SqliteStatement::IsNull() const { return sqlite3_column_type(statement_.get(), column_) == SQLITE_NULL; }

void SqliteDatabase::Closer::operator()(sqlite3* database) const { sqlite3_close(database); }

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  // NOMUTEX: the owner serialises, a second lock inside SQLite would only cost.
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  GPTVQ_CHECK(handle != nullptr);
  SqliteDatabase database(handle);
  if (code != SQLITE_OK) return ErrorOf(handle, path);
  return database;
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return ErrorOf(database_.get(), sql);
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK) {
    return ErrorOf(database_.get(), absl::string_view(sql.data(), sql.size()));
  }
  return SqliteStatement(statement);
}

absl::StatusOr<std::int64_t> SqliteDatabase::QueryInteger(std::string_view sql) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? statement.Integer() : 0;
}

std::int64_t SqliteDatabase::changed_rows() const { return sqlite3_changes64(database_.get()); }

absl::Status SqliteDatabase::InTransaction(absl::FunctionRef<absl::Status()> body) {
  GPTVQ_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  absl::Status status = body();
  if (status.ok()) status = Execute("COMMIT");
  // SQLite may have rolled back by itself; then this is refused, and rightly so.
  if (!status.ok()) Execute("ROLLBACK").IgnoreError();
  return status;
}

}  // namespace gptvq
