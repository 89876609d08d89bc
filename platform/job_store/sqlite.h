#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gptvq {

// The few things this project needs of SQLite, with statuses in place of codes. Thread-compatible: the owner serialises.
// Errors everywhere: AlreadyExists (a uniqueness constraint), Internal (another constraint), ResourceExhausted (disk full),
// DataLoss (not a database, or damaged), Unavailable (anything else that the storage did), naming the statement.

// A prepared statement. Parameters are bound in order, columns are read in order; one row at a time.
class SqliteStatement {
 public:
  SqliteStatement(SqliteStatement&&) = default;

  SqliteStatement& Bind(std::int64_t value);
  SqliteStatement& Bind(std::string_view text);
  SqliteStatement& BindBlob(std::string_view bytes);
  SqliteStatement& BindNull();
  SqliteStatement& Bind(const std::optional<std::int64_t>& value) { return value ? Bind(*value) : BindNull(); }

  // Moves to the next row; false when there is none.
  absl::StatusOr<bool> Step();
  // Runs a statement that gives no rows, and makes it ready for new parameters.
  absl::Status Run();

  // The next column of the row, left to right.
  std::int64_t Integer();
  std::optional<std::int64_t> OptionalInteger();
  std::string Bytes();  // text or blob; empty for NULL
  bool IsNull() const;  // the next column, without passing it
  void Skip() { ++column_; }

 private:
  friend class SqliteDatabase;
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int parameter_ = 0;
  int column_ = 0;
};

// An open database file. Owns the connection.
class SqliteDatabase {
 public:
  static absl::StatusOr<SqliteDatabase> Open(const std::string& path);

  // Runs statements without parameters or rows, separated by semicolons.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);
  // The single integer that a query gives, e.g. of a pragma.
  absl::StatusOr<std::int64_t> QueryInteger(std::string_view sql);

  // Rows changed by the latest statement.
  std::int64_t changed_rows() const;

  // Runs `body` inside one transaction: all of it is durable when OK is returned, none of it was done otherwise.
  absl::Status InTransaction(absl::FunctionRef<absl::Status()> body);

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  explicit SqliteDatabase(sqlite3* database) : database_(database) {}

  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_
