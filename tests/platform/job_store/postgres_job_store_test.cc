// What the conformance suite can not ask of every store: a server that dies, hangs, is full, or kills our connections.
#include "platform/job_store/postgres_job_store.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <future>
#include <thread>

#include "core/base/status_macros.h"
#include "platform/job_store/job_rows.h"
#include "tests/platform/job_store/postgres_store_fixture.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

using PostgresJobStoreTest = PostgresStoreTest;

TEST_F(PostgresJobStoreTest, KeepsEverythingAcrossARestartAndTheSecretToo) {
  std::string secret;
  {
    const StorePtr store = OpenLeader();
    ASSERT_TRUE(store->Append(Submission()).ok());
    secret = *store->Secret();
  }

  const StorePtr again = OpenLeader();

  EXPECT_EQ(again->LoadActive()->active_jobs.size(), 1u);
  EXPECT_EQ(*again->Secret(), secret);
}

TEST_F(PostgresJobStoreTest, ARoleWithNothingButItsDatabaseMayAskWhichTimelineItIsOn) {
  const PostgresJobStore::Options options = OptionsOfAPlainRole();

  const StorePtr store = Open(options);

  EXPECT_TRUE(store->knows_timeline());
  ASSERT_TRUE(store->LoadActive().ok());
  EXPECT_THAT(Query("SELECT convert_from(value, 'UTF8') FROM gptvq.store_info WHERE name = 'place'"),
              testing::MatchesRegex("cluster [0-9]+ timeline 00000001 table [0-9]+"));
}

TEST_F(PostgresJobStoreTest, WhereThatIsForbiddenEveryStartOfTheServerIsANewGeneration) {
  const PostgresJobStore::Options options = OptionsOfAPlainRole();
  Query("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
  std::vector<std::int64_t> generations;
  {
    const StorePtr store = Open(options);
    EXPECT_FALSE(store->knows_timeline());
    for (int load = 0; load < 2; ++load) generations.push_back(store->LoadActive()->generation);
  }

  server_->Kill();
  server_->Start();
  {
    const StorePtr store = Open(options);
    for (int load = 0; load < 2; ++load) generations.push_back(store->LoadActive()->generation);
  }

  EXPECT_EQ(generations[1], 0);
  EXPECT_GT(generations[2], 0);
  EXPECT_EQ(generations[3], generations[2]);
}

TEST_F(PostgresJobStoreTest, ARestartOfTheServerIsNoNewGenerationAndTablesOfADumpAre) {
  const StorePtr store = OpenLeader();
  server_->Kill();
  server_->Start();
  absl::StatusOr<JobStore::State> state;
  WaitUntil([&] { return (state = store->LoadActive()).ok(); }, "the store to connect again");
  EXPECT_EQ(state->generation, 0);

  Query(
      "ALTER TABLE gptvq.tasks RENAME TO old; CREATE TABLE gptvq.tasks (LIKE gptvq.old INCLUDING ALL); "
      "DROP TABLE gptvq.old");

  state = store->LoadActive();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_GT(state->generation, 0);
}

TEST_F(PostgresJobStoreTest, AConnectionThatLeadsToAnotherHistoryAppendsNothingUntilItIsReadAnew) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  Query(
      "ALTER TABLE gptvq.tasks RENAME TO old; CREATE TABLE gptvq.tasks (LIKE gptvq.old INCLUDING ALL); "
      "INSERT INTO gptvq.tasks SELECT * FROM gptvq.old; DROP TABLE gptvq.old");
  Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()");

  const absl::Status refused = store->Append(Change(2));

  EXPECT_TRUE(absl::IsAborted(refused)) << refused;
  EXPECT_EQ(StoredRevision(), 1);
  EXPECT_GT(store->LoadActive()->generation, 0);
  EXPECT_TRUE(store->Append(Change(2)).ok());
}

TEST_F(PostgresJobStoreTest, AServerThatIsKilledDuringAppendsLosesNothingThatWasAcknowledged) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  std::int64_t acknowledged = 1;
  for (int round = 0; round < 3; ++round) {
    std::atomic<std::int64_t> revision = acknowledged;
    std::thread writer([&] {
      while (store->Append(Change(revision + 1)).ok()) ++revision;
    });
    WaitUntil([&] { return revision >= acknowledged + 25; }, "25 appends");

    server_->Kill();
    writer.join();
    server_->Start();

    acknowledged = revision;
    absl::StatusOr<JobStore::State> state;
    WaitUntil(
        [&] {
          state = store->LoadActive();
          return state.ok();
        },
        "the store to connect again");
    const std::int64_t stored = state->active_jobs.at(0).status.revision;
    EXPECT_GE(stored, acknowledged);
    EXPECT_LE(stored, acknowledged + 1);  // what was in progress may have happened
    EXPECT_EQ(Query("SELECT max(seq) - min(seq) + 1 - count(*) FROM gptvq.events"), "0");
    acknowledged = stored;
  }
}

TEST_F(PostgresJobStoreTest, AConnectionThatIsEndedInMidTransactionIsMadeAgainAndTheAppendRepeated) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  auto blocker = std::make_unique<ForeignTransaction>(uri_, "SELECT * FROM gptvq.jobs FOR UPDATE");
  auto appended = std::async(std::launch::async, [&] { return store->Append(Change(2)); });

  const std::string pid = WaitForBackend("wait_event_type = 'Lock'");
  EXPECT_EQ(Query("SELECT pg_terminate_backend(" + pid + ")"), "t");
  blocker.reset();

  EXPECT_TRUE(appended.get().ok());
  EXPECT_EQ(StoredRevision(), 2);
}

TEST_F(PostgresJobStoreTest, ACommitThatHappenedWithoutAnAnswerIsFoundDone) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  // A standby that is not there: a COMMIT is on disk here, but not answered.
  Query("ALTER SYSTEM SET synchronous_standby_names = 'ghost'");
  Query("SELECT pg_reload_conf()");
  std::atomic<bool> enough = false;
  auto appended = std::async(std::launch::async, [&]() -> absl::Status {
    for (std::int64_t revision = 2; !enough; ++revision) {
      GPTVQ_RETURN_IF_ERROR(store->Append(Change(revision)));
    }
    return absl::OkStatus();
  });

  const std::string pid = WaitForBackend("wait_event = 'SyncRep' AND query = 'COMMIT'");
  const std::int64_t revision_before = StoredRevision();
  enough = true;
  Query("ALTER SYSTEM RESET synchronous_standby_names");
  EXPECT_EQ(Query("SELECT pg_terminate_backend(" + pid + ")"), "t");
  Query("SELECT pg_reload_conf()");

  EXPECT_TRUE(appended.get().ok());
  EXPECT_EQ(StoredRevision(), revision_before + 1);
}

TEST_F(PostgresJobStoreTest, ACommitThatDidNotHappenIsNotAcknowledged) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  // Work that the COMMIT has to wait for.
  Query(
      "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN "
      "NULL; "
      "END $$; CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON gptvq.jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
      "EXECUTE FUNCTION wait()");
  auto blocker = std::make_unique<ForeignTransaction>(uri_, "SELECT pg_advisory_xact_lock(1)");
  auto appended = std::async(std::launch::async, [&] { return store->Append(Change(2)); });

  const std::string pid = WaitForBackend("wait_event = 'advisory' AND query = 'COMMIT'");
  EXPECT_EQ(Query("SELECT pg_terminate_backend(" + pid + ")"), "t");

  const absl::Status status = appended.get();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("was not stored"));
  EXPECT_EQ(StoredRevision(), 1);
  blocker.reset();
  EXPECT_TRUE(store->Append(Change(2)).ok());
}

TEST_F(PostgresJobStoreTest, OfTwoWritersWithTheSameRevisionExactlyOneWins) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  auto one = *PostgresConnection::Connect(uri_, {});
  auto other = *PostgresConnection::Connect(uri_, {});
  const Transition change = Change(2);
  const Transition* const changes[] = {&change};
  const auto write = [&](PostgresConnection& connection) {
    return connection.InTransaction("BEGIN", [&]() -> absl::Status {
      GPTVQ_ASSIGN_OR_RETURN(const std::vector<SqlStatement> statements, StatementsOf(connection, changes));
      return connection.RunAll(statements).status();
    });
  };

  auto first = std::async(std::launch::async, [&] { return write(*one); });
  auto second = std::async(std::launch::async, [&] { return write(*other); });

  const absl::Status statuses[] = {first.get(), second.get()};
  EXPECT_EQ(statuses[0].ok() + statuses[1].ok(), 1) << statuses[0] << statuses[1];
  EXPECT_EQ(absl::IsAborted(statuses[0]) + absl::IsAborted(statuses[1]), 1) << statuses[0] << statuses[1];
  EXPECT_EQ(StoredRevision(), 2);
}

TEST_F(PostgresJobStoreTest, AFullDiskRefusesAndStoresNothing) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  // The code of a full disk, raised at the last statement of an append.
  Query(
      "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = "
      "'53100', "
      "MESSAGE = 'no space left on device'; END $$; CREATE TRIGGER full_disk BEFORE INSERT ON gptvq.events FOR EACH "
      "ROW "
      "EXECUTE FUNCTION full_disk()");

  const absl::Status refused = store->Append(Change(2));

  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no space left"));
  EXPECT_EQ(StoredRevision(), 1);
  Query("DROP TRIGGER full_disk ON gptvq.events");
  EXPECT_TRUE(store->Append(Change(2)).ok());
}

TEST_F(PostgresJobStoreTest, AServerThatHangsIsGivenUpInTime) {
  ASSERT_NE(Open(Options()), nullptr);  // makes the schema, in as much time as that takes
  PostgresJobStore::Options options = Options();
  options.leader.timeouts.answer = std::chrono::seconds(3);
  const StorePtr store = Open(options);
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(store->LoadActive().ok());
  ASSERT_TRUE(store->Append(Submission()).ok());
  const auto pid = static_cast<pid_t>(std::stol(WaitForBackend("state = 'idle'")));

  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  const MonotonicTime begin = clock_.MonotonicNow();
  const absl::Status status = store->Append(Change(2));
  const auto duration = clock_.MonotonicNow() - begin;
  ASSERT_EQ(kill(pid, SIGCONT), 0);

  // The stopped backend had received nothing but BEGIN, so another connection does the work.
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GE(duration, options.leader.timeouts.answer);
  EXPECT_LT(duration, std::chrono::seconds(20));  // far from hanging, on a machine that is busy as well
}

TEST_F(PostgresJobStoreTest, ConnectionsAreDurableWhateverTheDatabaseIsSetTo) {
  Query("ALTER DATABASE journal SET synchronous_commit = off");
  auto connection = PostgresConnection::Connect(uri_, {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ((*connection)->Run(SqlStatement("SHOW synchronous_commit"))->front().Bytes(), "on");

  Query("ALTER SYSTEM SET fsync = off");
  Query("SELECT pg_reload_conf()");
  WaitUntil([&] { return Query("SHOW fsync") == "off"; }, "fsync off");
  const absl::Status unsafe = PostgresConnection::Connect(uri_, {}).status();
  Query("ALTER SYSTEM RESET fsync");
  Query("SELECT pg_reload_conf()");
  WaitUntil([&] { return Query("SHOW fsync") == "on"; }, "fsync on");

  EXPECT_EQ(unsafe.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(unsafe.message()), HasSubstr("fsync"));
}

TEST_F(PostgresJobStoreTest, WhoMayNotEnterIsToldTheRemedy) {
  std::string no_role = uri_;
  no_role.replace(no_role.find("postgres@"), 9, "nobody_here@");
  Query("DROP ROLE IF EXISTS guest");
  Query("CREATE ROLE guest LOGIN");
  std::string no_rights = uri_;
  no_rights.replace(no_rights.find("postgres@"), 9, "guest@");

  const absl::Status unknown = PostgresConnection::Connect(no_role, {}).status();
  const absl::Status no_database = PostgresConnection::Connect(server_->UriOf("no_such"), {}).status();
  PostgresJobStore::Options options = Options();
  options.leader.uri = no_rights;
  const absl::Status powerless = PostgresJobStore::Open(options, clock_).status();

  EXPECT_EQ(unknown.code(), absl::StatusCode::kPermissionDenied) << unknown;
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("PGPASSFILE"));
  EXPECT_EQ(no_database.code(), absl::StatusCode::kNotFound) << no_database;
  EXPECT_EQ(powerless.code(), absl::StatusCode::kPermissionDenied) << powerless;
  EXPECT_THAT(std::string(powerless.message()), HasSubstr("schema gptvq"));
}

TEST_F(PostgresJobStoreTest, RowsThatNoVersionWroteAreDataLossNamingTheJob) {
  const StorePtr store = OpenLeader();
  ASSERT_TRUE(store->Append(Submission()).ok());
  Query("UPDATE gptvq.tasks SET state = 'dancing' WHERE task_index = 1");

  const absl::Status status = store->LoadActive().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("job-1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("dancing"));
}

}  // namespace
}  // namespace gptvq
