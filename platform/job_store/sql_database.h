#ifndef GPTVQ_PLATFORM_JOB_STORE_SQL_DATABASE_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQL_DATABASE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gptvq {

// What the job stores need of a database: SQL as plain values, so that rows are described once (job_rows.h) and run on
// SQLite and on PostgreSQL.

struct SqlBlob {
  std::string bytes;
};
using SqlValue = std::variant<std::monostate, std::int64_t, std::string, SqlBlob>;  // NULL, integer, text, bytes

// One statement with the values of its placeholders. Both databases take $1, $2, ... if each stands once and in order; values
// never become part of the text. Plain value.
class SqlStatement {
 public:
  explicit SqlStatement(std::string text) : text_(std::move(text)) {}

  SqlStatement& Bind(std::int64_t value);
  SqlStatement& Bind(std::string_view text);
  SqlStatement& Bind(const std::optional<std::int64_t>& value);
  SqlStatement& BindBlob(std::string bytes);
  SqlStatement& BindNull();

  // A row that is written over its previous revision: running the statement is refused unless it changes one row.
  SqlStatement& MustChangeOneRow(std::string subject) {
    guarded_subject_ = std::move(subject);
    return *this;
  }

  const std::string& text() const { return text_; }
  const std::vector<SqlValue>& values() const { return values_; }

  // Aborted when `changed_rows` is not what the statement must change.
  absl::Status CheckChangedRows(std::int64_t changed_rows) const;

 private:
  std::string text_;
  std::vector<SqlValue> values_;
  std::optional<std::string> guarded_subject_;
};

// A row of an answer, read column by column from the left. Text and bytes read alike. A column of another type than asked
// for reads as 0 or empty, as a damaged row may hold anything: who decodes it decides. Plain value.
class SqlRow {
 public:
  explicit SqlRow(std::vector<SqlValue> values) : values_(std::move(values)) {}

  std::int64_t Integer();
  std::optional<std::int64_t> OptionalInteger();
  std::string Bytes();
  bool IsNull() const;  // the next column, without passing it
  void Skip() { ++column_; }

 private:
  std::vector<SqlValue> values_;
  std::size_t column_ = 0;
};
using SqlRows = std::vector<SqlRow>;

// A connection to a database. Thread-compatible: the owner serialises.
class SqlDatabase {
 public:
  virtual ~SqlDatabase() = default;

  // Runs the statements in order and stops at the first that fails; the rows of each. Inside a transaction of the caller
  // where several must happen together.
  // Errors: Aborted (CheckChangedRows), AlreadyExists (a uniqueness constraint), Internal (another constraint),
  // ResourceExhausted (disk full), DataLoss (damaged), Unavailable, naming the statement.
  virtual absl::StatusOr<std::vector<SqlRows>> RunAll(const std::vector<SqlStatement>& statements) = 0;

  // The same for one.
  absl::StatusOr<SqlRows> Run(const SqlStatement& statement);
  // The only integer that a query gives; 0 without a row.
  absl::StatusOr<std::int64_t> QueryInteger(std::string_view text);
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQL_DATABASE_H_
