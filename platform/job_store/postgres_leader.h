#ifndef GPTVQ_PLATFORM_JOB_STORE_POSTGRES_LEADER_H_
#define GPTVQ_PLATFORM_JOB_STORE_POSTGRES_LEADER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/job_store/postgres.h"

namespace gptvq {

// Which of the coordinators on one database may append: the row of the table `leader` (docs/adr/0007-leader-term.md). It
// holds the number of the term, its holder, and when it ends by the database's clock. The end is for liveness only; safety
// is that every append counts itself in this row under its own term, so that whoever takes the next term waits for
// an append in progress and refuses all later ones of the old term.
//
// A thread of its own renews the term on a connection of its own. Owns both; borrows the clock. Thread-safe.
class PostgresLeader {
 public:
  struct Options {
    std::string uri;
    PostgresTimeouts timeouts;
    std::chrono::milliseconds term_ttl{5'000};  // silence after which another one may lead
    std::string name;                           // for people: where this coordinator runs
  };

  PostgresLeader(const Options& options, Clock& clock);
  ~PostgresLeader();

  // Begins a term, or goes on with the current one of this object. Returns only when no append of an earlier term is in progress.
  // Errors: Unavailable (NOT_LEADING) while another one leads, naming it; those of PostgresConnection.
  absl::Status Lead(PostgresConnection& connection);

  // Inside the transaction of an append: counts it. The count is that of the transaction, once committed.
  // Errors: Aborted when the term is over; those of PostgresConnection.
  absl::StatusOr<std::int64_t> CountAppend(PostgresConnection& connection);

  // Whether the append with this count was committed, after nobody said so. Waits for it if it is still in progress.
  // Errors: Aborted when the term is over, because the next one does not know; those of PostgresConnection.
  absl::StatusOr<bool> WasAppended(PostgresConnection& connection, std::int64_t count);

  // OK while the term is known to last. Errors: Unavailable (NOT_LEADING). No I/O.
  absl::Status Check() const;

  // Ends the term at once, so that another one need not wait for its end. Nothing else may be called afterwards.
  void Resign(PostgresConnection& connection);

 private:
  absl::StatusOr<std::int64_t> CurrentTerm() const;
  absl::Status NotLeading(PostgresConnection& connection);
  void EndTerm(std::string why);
  void RunRenewals(std::stop_token stop);
  absl::Status Renew(PostgresConnection& connection);

  const Options options_;
  const std::string holder_;  // name and 128 random bits: a process that starts again is another holder
  Clock& clock_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::optional<std::int64_t> term_;
  MonotonicTime valid_until_;  // by the clock of this process; never later than the end in the database
  std::string why_not_ = "it has not asked the database yet";

  std::unique_ptr<PostgresConnection> renewals_;  // owned by the thread
  std::jthread renewer_;                          // last: it stops before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_POSTGRES_LEADER_H_
