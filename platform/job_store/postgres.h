#ifndef GPTVQ_PLATFORM_JOB_STORE_POSTGRES_H_
#define GPTVQ_PLATFORM_JOB_STORE_POSTGRES_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/job_store/sql_database.h"

struct pg_conn;
struct pg_result;

namespace gptvq {

// "postgresql://[user@][host[:port][,...]]/[database][?parameter=value...]", as libpq documents it. Whatever it leaves out comes
// from libpq's environment (PGHOST, PGPASSFILE, PGSERVICE, PGSSLROOTCERT, ...).
// Errors: InvalidArgument for other texts and, with the remedy and without repeating it, for one that holds a password: the
// command line is no place for secrets.
absl::Status CheckPostgresUri(std::string_view uri);

// True for a URI of that scheme, right or wrong.
bool IsPostgresUri(std::string_view text);

// How long the store waits. The defaults keep a call of a worker well below its own deadline.
struct PostgresTimeouts {
  std::chrono::milliseconds connect{3'000};    // a host, unless the URI says connect_timeout; whole seconds, at least 2
  std::chrono::milliseconds statement{8'000};  // the server ends a statement
  std::chrono::milliseconds lock{2'000};       // or its waiting for a lock
  std::chrono::milliseconds answer{10'000};    // a server that says nothing at all is given up
};

// A connection to a PostgreSQL server by libpq, at READ COMMITTED and with synchronous_commit on (or more). Nothing it does
// waits longer than the timeouts. Owns the connection. Thread-compatible: the owner serialises.
// Errors everywhere: those of SqlDatabase and PostgresError(); Unavailable when the server went away, or did not answer in time.
class PostgresConnection final : public SqlDatabase {
 public:
  // Precondition: CheckPostgresUri(uri). Errors: those of PostgresConnectError(); FailedPrecondition for a server that can not keep
  // what it acknowledged (fsync off).
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Connect(const std::string& uri,
                                                                     const PostgresTimeouts& timeouts);
  ~PostgresConnection() override;

  // In one round trip however many statements there are, by libpq's pipeline. What CheckChangedRows() refuses is seen when all
  // have run: guarded statements belong into a transaction, which the caller rolls back then.
  absl::StatusOr<std::vector<SqlRows>> RunAll(const std::vector<SqlStatement>& statements) override;

  // Runs fixed text, several statements if need be, that gives no rows.
  absl::Status Execute(const char* sql);

  // Runs `body` between `begin` ("BEGIN" with its options) and COMMIT; rolls back when it fails. When COMMIT itself ends in
  // Trouble::kLost, nobody knows here whether it happened.
  absl::Status InTransaction(const char* begin, absl::FunctionRef<absl::Status()> body);

  // What the latest error was, for who may try again.
  enum class Trouble {
    kNone,
    kStatement,  // the same would fail again
    kConflict,   // undone for the sake of another transaction
    kLost,       // the connection is of no more use; what was in progress may have happened
  };
  Trouble trouble() const { return trouble_; }
  // False once the connection is of no more use.
  bool usable() const { return !lost_; }

 private:
  struct Closer {
    void operator()(pg_conn* connection) const;
  };
  struct Clearer {
    void operator()(pg_result* result) const;
  };
  using Result = std::unique_ptr<pg_result, Clearer>;
  struct Command;

  PostgresConnection(pg_conn* connection, const PostgresTimeouts& timeouts);
  absl::Status SetUp();
  absl::Status CheckUsable();
  absl::StatusOr<std::vector<Command>> Send(const std::vector<SqlStatement>& statements);
  absl::StatusOr<std::vector<SqlRows>> Collect(const std::vector<Command>& commands);
  // The next result of what was sent; null where those of a command end.
  absl::StatusOr<Result> NextResult();
  absl::Status WaitForServer(short events, std::chrono::steady_clock::time_point deadline);
  absl::Status CheckResult(const pg_result* result, std::string_view statement);
  absl::Status Lose(std::string_view why);

  const std::unique_ptr<pg_conn, Closer> connection_;
  const PostgresTimeouts timeouts_;
  std::map<std::string, std::string, std::less<>> prepared_;  // text -> name at the server
  std::int64_t names_given_ = 0;
  Trouble trouble_ = Trouble::kNone;
  bool lost_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_POSTGRES_H_
