#ifndef GPTVQ_TESTS_SUPPORT_POSTGRES_SERVER_H_
#define GPTVQ_TESTS_SUPPORT_POSTGRES_SERVER_H_

#include <memory>
#include <string>

#include "tests/support/child_process.h"
#include "tests/support/temporary_directory.h"

struct pg_conn;

namespace gptvq {

// A real PostgreSQL server of a test's own (run_postgres.sh), with fsync on as in production. Ends with the object.
class PostgresServer {
 public:
  // Returns when it answers; aborts the test program, with the server's log, when it does not.
  PostgresServer();

  // The URI of a new empty database with this name, replacing one of before.
  std::string MakeDatabase(const std::string& name);
  std::string UriOf(const std::string& database) const;

  // Runs SQL as the superuser, in a connection of its own; the first field of the first row, or the error.
  std::string Query(const std::string& database, const std::string& sql) const;

  // SIGKILL to the postmaster: what a power cut looks like to clients. Start() recovers.
  void Kill();
  void Start();

 private:
  bool Answers() const;

  const TemporaryDirectory directory_;
  std::unique_ptr<ChildProcess> process_;
};

// A transaction of somebody else that ran `sql` and holds its locks until it goes out of scope.
class ForeignTransaction {
 public:
  ForeignTransaction(const std::string& uri, const std::string& sql);
  ~ForeignTransaction();
  ForeignTransaction(const ForeignTransaction&) = delete;
  ForeignTransaction& operator=(const ForeignTransaction&) = delete;

 private:
  pg_conn* const connection_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_POSTGRES_SERVER_H_
