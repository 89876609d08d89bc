#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job_store/sql_database.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gptvq {

// The few things this project needs of SQLite, with statuses in place of codes: an open database file. Owns the connection
// and every statement that it compiled: their texts are few, because values never become part of them. Thread-compatible:
// the owner serialises. Errors everywhere: those of SqlDatabase; Unavailable for anything else that the storage did.
//
// After an fsync that failed nobody knows what the disk holds, and a second one that succeeds does not tell: the kernel may have
// dropped the pages. From then on every call is refused, until the file is opened anew and read from the disk.
class SqliteDatabase final : public SqlDatabase {
 public:
  // Told once, by the call that met a failed fsync, before that call returns; may end the process.
  using SyncFailureHandler = std::function<void(const absl::Status&)>;

  static absl::StatusOr<SqliteDatabase> Open(const std::string& path);

  void OnSyncFailure(SyncFailureHandler handler) { on_sync_failure_ = std::move(handler); }

  // Runs statements without parameters or rows, separated by semicolons.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<std::vector<SqlRows>> RunAll(const std::vector<SqlStatement>& statements) override;

  // Leaves files and log as they are when the database is closed, for whoever has to find out what became of them. Otherwise
  // closing moves the log into the database as far as it can be read, and deletes it.
  void KeepLogOnClose();

  // Runs `body` inside one transaction: all of it is durable when OK is returned, none of it was done otherwise.
  absl::Status InTransaction(absl::FunctionRef<absl::Status()> body);

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Prepared = std::unique_ptr<sqlite3_stmt, Finalizer>;

  explicit SqliteDatabase(sqlite3* database) : database_(database) {}
  // The error of the latest call of SQLite, after `what`.
  absl::Status Failed(absl::string_view what);
  // Lives as long as this object.
  absl::StatusOr<sqlite3_stmt*> Prepare(const std::string& text);
  absl::StatusOr<SqlRows> RunPrepared(sqlite3_stmt* prepared, const SqlStatement& statement);

  std::unique_ptr<sqlite3, Closer> database_;
  std::unordered_map<std::string, Prepared> prepared_;  // by text; after the connection, which outlives them
  SyncFailureHandler on_sync_failure_;
  absl::Status sync_failure_;  // OK until there is one
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_H_
