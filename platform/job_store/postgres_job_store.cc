#include "platform/job_store/postgres_job_store.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/job_rows.h"
#include "platform/job_store/postgres_schema.h"
#include "platform/job_store/store_history.h"

namespace gptvq {
namespace {

using Trouble = PostgresConnection::Trouble;

// How often a call is tried in all, and only within the time that two answers may take: the coordinator's other calls wait
// for it.
constexpr int kMaxTries = 4;
constexpr BackoffOptions kRetryPause = {.first = std::chrono::milliseconds(40),
                                        .longest = std::chrono::milliseconds(160)};

// Between attempts to connect; calls in between fail at once.
constexpr BackoffOptions kReconnectPause = {.first = std::chrono::milliseconds(100),
                                            .longest = std::chrono::milliseconds(3'000)};

// Tells a journal from every other history of it: the cluster, the timeline that a promotion or a recovery begins, and the table,
// which a restored dump makes anew.
constexpr char kSelectPlace[] =
    "SELECT 'cluster ' || (SELECT system_identifier FROM pg_control_system()) || ' timeline ' || "
    "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || ' table ' || 'tasks'::regclass::oid";
// For a role that may not ask, or a server that does not say: whatever begins another timeline starts a server, too.
constexpr char kSelectStart[] =
    "SELECT 'server of ' || extract(epoch FROM pg_postmaster_start_time()) || ' table ' || 'tasks'::regclass::oid";

Backoff SeededBackoff(BackoffOptions options) {
  options.seed = std::random_device()();
  return Backoff(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresJobStore>> PostgresJobStore::Open(const Options& options, Clock& clock) {
  GPTVQ_RETURN_IF_ERROR(CheckPostgresUri(options.leader.uri));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<PostgresConnection> connection,
                         PostgresConnection::Connect(options.leader.uri, options.leader.timeouts));
  GPTVQ_RETURN_IF_ERROR(MigratePostgresSchema(*connection));
  GPTVQ_RETURN_IF_ERROR(EnsureSecret(*connection));
  GPTVQ_ASSIGN_OR_RETURN(const Place place, PlaceOf(*connection));
  return std::unique_ptr<PostgresJobStore>(new PostgresJobStore(options, clock, std::move(connection), place));
}

PostgresJobStore::PostgresJobStore(const Options& options, Clock& clock, std::unique_ptr<PostgresConnection> connection,
                                   Place place)
    : options_(options),
      knows_timeline_(place.is_exact),
      clock_(clock),
      leader_(options.leader, clock),
      connection_(std::move(connection)),
      place_(std::move(place)) {}

PostgresJobStore::~PostgresJobStore() { leader_.Resign(*connection_); }

absl::StatusOr<JobStore::State> PostgresJobStore::LoadActive() {
  const std::lock_guard lock(mutex_);
  GPTVQ_RETURN_IF_ERROR(Retry([&](PostgresConnection& connection) { return leader_.Lead(connection); }));
  place_ = {};  // wherever the connection leads by now
  is_there_ = false;
  GPTVQ_RETURN_IF_ERROR(
      AppendInTerm([this](PostgresConnection& connection) { return NotePlace(connection, place_.text); }));
  State state;
  GPTVQ_RETURN_IF_ERROR(ReadSnapshot([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(state, SelectActive(connection));
    return absl::OkStatus();
  }));
  return state;
}

absl::Status PostgresJobStore::BeginGeneration(std::int64_t after) {
  const std::lock_guard lock(mutex_);
  return AppendInTerm(
      [&](PostgresConnection& connection) { return gptvq::BeginGeneration(connection, after).status(); });
}

absl::StatusOr<PostgresJobStore::Place> PostgresJobStore::PlaceOf(PostgresConnection& connection) {
  absl::StatusOr<SqlRows> rows = connection.Run(SqlStatement(kSelectPlace));
  const bool is_exact = rows.ok();
  if (!is_exact && connection.trouble() == Trouble::kStatement) rows = connection.Run(SqlStatement(kSelectStart));
  GPTVQ_RETURN_IF_ERROR(rows.status());
  if (rows->empty()) return absl::UnavailableError("the server does not say where it is");
  return Place{rows->front().Bytes(), is_exact};
}

// What this process remembers is of the server that it was read from. A connection that was made again may lead to another one,
// whose history is shorter.
absl::Status PostgresJobStore::CheckPlace(PostgresConnection& connection) {
  if (is_there_) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const Place place, PlaceOf(connection));
  if (place_.text.empty()) place_ = place;
  if (place.text != place_.text) return absl::AbortedError("the journal is at another place than when it was read");
  is_there_ = true;
  return absl::OkStatus();
}

absl::Status PostgresJobStore::AppendInTerm(absl::FunctionRef<absl::Status(PostgresConnection&)> body) {
  return Retry([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_RETURN_IF_ERROR(CheckPlace(connection));
    return connection.InTransaction("BEGIN", [&]() -> absl::Status {
      GPTVQ_RETURN_IF_ERROR(leader_.CountAppend(connection).status());
      return body(connection);
    });
  });
}

absl::Status PostgresJobStore::AppendAll(absl::Span<const Transition* const> transitions) {
  const std::lock_guard lock(mutex_);
  std::optional<std::int64_t> in_doubt;
  GPTVQ_RETURN_IF_ERROR(
      Retry([&](PostgresConnection& connection) { return AppendOnce(connection, transitions, in_doubt); }));
  return in_doubt ? ResolveCommit(*in_doubt) : absl::OkStatus();
}

absl::StatusOr<JobSnapshot> PostgresJobStore::ReadJob(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  JobSnapshot job;
  GPTVQ_RETURN_IF_ERROR(ReadSnapshot([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(job, SelectJob(connection, job_id));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<std::optional<std::string>> PostgresJobStore::FindRequest(std::string_view request_id) {
  const std::lock_guard lock(mutex_);
  std::optional<std::string> job_id;
  GPTVQ_RETURN_IF_ERROR(Retry([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(job_id, SelectRequest(connection, request_id));
    return absl::OkStatus();
  }));
  return job_id;
}

absl::StatusOr<std::vector<PublishedLayer>> PostgresJobStore::ReadLayers(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  std::vector<PublishedLayer> layers;
  GPTVQ_RETURN_IF_ERROR(ReadSnapshot([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(layers, SelectLayers(connection, job_id));
    return absl::OkStatus();
  }));
  return layers;
}

absl::StatusOr<std::vector<JobEvent>> PostgresJobStore::ReadEvents(std::string_view job_id, std::int64_t after_seq,
                                                                   int limit) {
  const std::lock_guard lock(mutex_);
  std::vector<JobEvent> events;
  GPTVQ_RETURN_IF_ERROR(ReadSnapshot([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(events, SelectEvents(connection, job_id, after_seq, limit));
    return absl::OkStatus();
  }));
  return events;
}

absl::StatusOr<std::vector<JobSnapshot>> PostgresJobStore::ListJobs(const Query& query) {
  const std::lock_guard lock(mutex_);
  std::vector<JobSnapshot> jobs;
  GPTVQ_RETURN_IF_ERROR(Retry([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(jobs, SelectJobs(connection, query));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::string> PostgresJobStore::Secret() {
  const std::lock_guard lock(mutex_);
  std::string secret;
  GPTVQ_RETURN_IF_ERROR(Retry([&](PostgresConnection& connection) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(secret, SelectSecret(connection));
    return absl::OkStatus();
  }));
  return secret;
}

absl::StatusOr<PostgresConnection*> PostgresJobStore::Connected() {
  if (connection_->usable()) return connection_.get();
  if (reconnects_ && clock_.MonotonicNow() < reconnect_time_) return connect_error_;
  auto connection = PostgresConnection::Connect(options_.leader.uri, options_.leader.timeouts);
  if (!connection.ok()) {
    if (!reconnects_) reconnects_.emplace(SeededBackoff(kReconnectPause));
    reconnect_time_ = clock_.MonotonicNow() + reconnects_->Next();
    connect_error_ = connection.status();
    return connect_error_;
  }
  reconnects_.reset();
  connection_ = *std::move(connection);
  is_there_ = false;
  return connection_.get();
}

absl::Status PostgresJobStore::Retry(absl::FunctionRef<absl::Status(PostgresConnection&)> body) {
  Backoff pauses = SeededBackoff(kRetryPause);
  const MonotonicTime give_up_time = clock_.MonotonicNow() + 2 * options_.leader.timeouts.answer;
  for (int tries = 1;; ++tries) {
    GPTVQ_ASSIGN_OR_RETURN(PostgresConnection * connection, Connected());
    const absl::Status status = body(*connection);
    const bool passes = connection_->trouble() == Trouble::kConflict || connection_->trouble() == Trouble::kLost;
    if (status.ok() || !passes || tries == kMaxTries || clock_.MonotonicNow() > give_up_time) return status;
    clock_.Sleep(pauses.Next(), {});
  }
}

absl::Status PostgresJobStore::ReadSnapshot(absl::FunctionRef<absl::Status(PostgresConnection&)> body) {
  return Retry([&](PostgresConnection& connection) {
    return connection.InTransaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                                    [&] { return body(connection); });
  });
}

absl::Status PostgresJobStore::AppendOnce(PostgresConnection& connection,
                                          absl::Span<const Transition* const> transitions,
                                          std::optional<std::int64_t>& in_doubt) {
  GPTVQ_RETURN_IF_ERROR(CheckPlace(connection));
  std::int64_t append_count = 0;
  bool complete = false;  // all but the COMMIT
  const absl::Status status = connection.InTransaction("BEGIN", [&]() -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(append_count, leader_.CountAppend(connection));
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<SqlStatement> statements, StatementsOf(connection, transitions));
    GPTVQ_RETURN_IF_ERROR(connection.RunAll(statements).status());
    complete = true;
    return absl::OkStatus();
  });
  if (!complete || connection.trouble() != Trouble::kLost) return status;
  in_doubt = append_count;
  return absl::OkStatus();
}

// The connection was lost during COMMIT; the database knows whether it happened.
absl::Status PostgresJobStore::ResolveCommit(std::int64_t append_count) {
  Backoff pauses = SeededBackoff(kRetryPause);
  absl::StatusOr<bool> appended = absl::UnavailableError("no time was left to ask");
  const MonotonicTime give_up_time = clock_.MonotonicNow() + 2 * options_.leader.timeouts.answer;
  for (int tries = 0; tries < kMaxTries && clock_.MonotonicNow() < give_up_time; ++tries) {
    clock_.Sleep(pauses.Next(), {});
    const absl::StatusOr<PostgresConnection*> connection = Connected();
    appended = connection.ok() ? leader_.WasAppended(**connection, append_count) : connection.status();
    if (appended.ok() || absl::IsAborted(appended.status())) break;
  }
  if (!appended.ok()) return WithContext(appended.status(), "whether the change was stored is not known");
  return *appended ? absl::OkStatus() : absl::UnavailableError("the change was not stored: the connection was lost");
}

}  // namespace gptvq
