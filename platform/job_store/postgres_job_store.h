#ifndef GPTVQ_PLATFORM_JOB_STORE_POSTGRES_JOB_STORE_H_
#define GPTVQ_PLATFORM_JOB_STORE_POSTGRES_JOB_STORE_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "platform/backoff.h"
#include "platform/clock.h"
#include "platform/job_store/job_store.h"
#include "platform/job_store/postgres.h"
#include "platform/job_store/postgres_leader.h"

namespace gptvq {

// A journal in a PostgreSQL database that several coordinators share: one leads and appends, the others stand by and may
// read (docs/adr/0007-leader-term.md). An append is acknowledged when the server has it on disk (and on its synchronous
// standbys, if it has any). Owns its connections; borrows the clock. Thread-safe, by one mutex.
//
// A connection that is lost is made again, with growing pauses in which calls fail at once. What a lost connection or another
// transaction undid is repeated a few times; whether a COMMIT without an answer happened is read back, and where that can
// not be found out the call fails with Unavailable, as JobStore says.
class PostgresJobStore final : public JobStore {
 public:
  struct Options {
    PostgresLeader::Options leader;  // with the URI and the timeouts of all connections
  };

  // Connects, and makes the schema or brings an older one to the newest.
  // Errors: those of CheckPostgresUri, PostgresConnection::Connect and MigratePostgresSchema.
  static absl::StatusOr<std::unique_ptr<PostgresJobStore>> Open(const Options& options, Clock& clock);
  // Ends the term, so that another coordinator can lead at once.
  ~PostgresJobStore() override;

  // Takes the term first. Errors also: Unavailable (NOT_LEADING) while another coordinator leads.
  absl::StatusOr<State> LoadActive() override;
  absl::Status BeginGeneration(std::int64_t after) override;
  // Errors also: Aborted when the term is over; Unavailable (NOT_LEADING) without one.
  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override;
  absl::Status CheckLeading() const override { return leader_.Check(); }

  // Whether the server said which cluster and timeline it is, when the store was opened. Where it does not, every start of the
  // server begins a generation.
  bool knows_timeline() const { return knows_timeline_; }

  absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view request_id) override;
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view job_id) override;
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after_seq, int limit) override;
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override;
  absl::StatusOr<std::string> Secret() override;

 private:
  struct Place {
    std::string text;
    bool is_exact = false;
  };
  static absl::StatusOr<Place> PlaceOf(PostgresConnection& connection);

  PostgresJobStore(const Options& options, Clock& clock, std::unique_ptr<PostgresConnection> connection, Place place);

  absl::StatusOr<PostgresConnection*> Connected();
  // Runs `body` on a connection, and again after what passes by itself.
  absl::Status Retry(absl::FunctionRef<absl::Status(PostgresConnection&)> body);
  // Errors: Aborted when the connection leads to another place than that of the last load.
  absl::Status CheckPlace(PostgresConnection& connection);
  // Runs `body` in a transaction that only the one that leads can commit, and again after what passes by itself: it may happen
  // twice.
  absl::Status AppendInTerm(absl::FunctionRef<absl::Status(PostgresConnection&)> body);
  // Runs `body` in a transaction that sees one moment of the database.
  absl::Status ReadSnapshot(absl::FunctionRef<absl::Status(PostgresConnection&)> body);
  // OK with `in_doubt` set to the count of the append when its COMMIT got no answer.
  absl::Status AppendOnce(PostgresConnection& connection, absl::Span<const Transition* const> transitions,
                          std::optional<std::int64_t>& in_doubt);
  absl::Status ResolveCommit(std::int64_t append_count);

  const Options options_;
  const bool knows_timeline_;
  Clock& clock_;
  PostgresLeader leader_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::unique_ptr<PostgresConnection> connection_;
  std::optional<Backoff> reconnects_;  // while the server is away
  MonotonicTime reconnect_time_;
  absl::Status connect_error_;
  Place place_;            // of the last load; empty while it is not known
  bool is_there_ = false;  // the connection leads to place_
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_POSTGRES_JOB_STORE_H_
