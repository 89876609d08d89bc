// Several coordinators on one database: who may append, and when.
#include "platform/job_store/postgres_leader.h"

#include <gmock/gmock.h>

#include <future>

#include "platform/job/error_reason.h"
#include "tests/platform/job_store/postgres_store_fixture.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

class PostgresLeaderTest : public PostgresStoreTest {
 protected:
  void EndTermByForce() { Query("UPDATE gptvq.leader SET expire_time = '-infinity'"); }
};

TEST_F(PostgresLeaderTest, ASecondOneStandsByAndMayRead) {
  const StorePtr leader = OpenLeader();
  ASSERT_TRUE(leader->Append(Submission()).ok());
  const StorePtr standby = Open(Options());

  const absl::Status loaded = standby->LoadActive().status();

  EXPECT_EQ(ReasonOf(loaded), ErrorReason::kNotLeading) << loaded;
  EXPECT_THAT(std::string(loaded.message()), HasSubstr("store of the test"));
  EXPECT_EQ(ReasonOf(standby->CheckLeading()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(standby->Append(Change(2))), ErrorReason::kNotLeading);
  EXPECT_EQ(standby->ReadJob("job-1")->description.job_id, "job-1");
  EXPECT_EQ(standby->ListJobs({})->size(), 1u);
  EXPECT_TRUE(leader->CheckLeading().ok());
}

TEST_F(PostgresLeaderTest, ALeaderThatEndsHandsOverAtOnce) {
  StorePtr leader = OpenLeader();
  const StorePtr standby = Open(Options());
  ASSERT_FALSE(standby->LoadActive().ok());

  leader.reset();

  EXPECT_TRUE(standby->LoadActive().ok());
  EXPECT_EQ(Query("SELECT term FROM gptvq.leader"), "2");
}

TEST_F(PostgresLeaderTest, TheAppendOfADeposedLeaderIsRefused) {
  const StorePtr deposed = OpenLeader();
  ASSERT_TRUE(deposed->Append(Submission()).ok());
  EndTermByForce();
  const StorePtr leader = OpenLeader();
  ASSERT_TRUE(deposed->CheckLeading().ok());  // nobody told it yet

  const absl::Status refused = deposed->Append(Change(2));

  EXPECT_EQ(refused.code(), absl::StatusCode::kAborted) << refused;
  EXPECT_EQ(StoredRevision(), 1);
  EXPECT_EQ(ReasonOf(deposed->CheckLeading()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(deposed->LoadActive().status()), ErrorReason::kNotLeading);
  EXPECT_TRUE(leader->Append(Change(2)).ok());
}

TEST_F(PostgresLeaderTest, ATermThatNobodyTookGoesOn) {
  const StorePtr leader = OpenLeader();
  EndTermByForce();

  EXPECT_TRUE(leader->Append(Submission()).ok());
  EXPECT_TRUE(leader->LoadActive().ok());

  EXPECT_EQ(Query("SELECT term FROM gptvq.leader"), "1");
}

TEST_F(PostgresLeaderTest, WhoTakesOverWaitsForAnAppendInProgressAndSeesIt) {
  const StorePtr old_leader = OpenLeader();
  ASSERT_TRUE(old_leader->Append(Submission()).ok());
  const StorePtr new_leader = Open(Options());
  auto blocker = std::make_unique<ForeignTransaction>(uri_, "SELECT * FROM gptvq.jobs FOR UPDATE");
  auto appended = std::async(std::launch::async, [&] { return old_leader->Append(Change(2)); });
  WaitForBackend("wait_event_type = 'Lock' AND query LIKE 'UPDATE jobs%'");
  // By hand, as the row is locked: the end of the term as a late reader would find it.
  auto loaded = std::async(std::launch::async, [&] {
    absl::StatusOr<JobStore::State> state = absl::UnavailableError("");
    WaitUntil(
        [&] {
          EndTermByForce();
          state = new_leader->LoadActive();
          return state.ok();
        },
        "the take-over");
    return state;
  });
  WaitUntil(
      [&] {
        return Query(
                   "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' "
                   "AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%leader%')") == "t";
      },
      "somebody who wants the term");

  blocker.reset();

  EXPECT_TRUE(appended.get().ok());
  EXPECT_EQ(loaded.get()->active_jobs.at(0).status.revision, 2);
}

TEST_F(PostgresLeaderTest, ALeaderWithoutItsDatabaseStepsDownAndTheStandbyTakesOver) {
  Query("DROP ROLE IF EXISTS cut_off");
  Query("CREATE ROLE cut_off LOGIN SUPERUSER");
  PostgresJobStore::Options options = Options();
  options.leader.term_ttl = std::chrono::milliseconds(1'500);
  const StorePtr standby = Open(options);
  options.leader.uri.replace(options.leader.uri.find("postgres@"), 9, "cut_off@");
  const StorePtr leader = Open(options);
  ASSERT_TRUE(leader->LoadActive().ok());
  WaitUntil([&] { return Query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'cut_off'") == "2"; },
            "the connection that renews");
  ASSERT_FALSE(standby->LoadActive().ok());

  Query("ALTER ROLE cut_off NOLOGIN");
  Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cut_off'");

  WaitUntil([&] { return standby->LoadActive().ok(); }, "the standby to take over");
  EXPECT_EQ(ReasonOf(leader->CheckLeading()), ErrorReason::kNotLeading);
  EXPECT_FALSE(leader->Append(Submission()).ok());
  EXPECT_TRUE(standby->Append(Submission()).ok());
}

TEST_F(PostgresLeaderTest, RenewalsKeepTheTerm) {
  PostgresJobStore::Options options = Options();
  options.leader.term_ttl = std::chrono::milliseconds(800);
  const StorePtr leader = Open(options);
  ASSERT_TRUE(leader->LoadActive().ok());
  const StorePtr standby = Open(options);
  const MonotonicTime end = clock_.MonotonicNow() + 4 * options.leader.term_ttl;

  WaitUntil(
      [&] {
        EXPECT_FALSE(standby->LoadActive().ok());
        return clock_.MonotonicNow() >= end;
      },
      "four times the length of a term");

  EXPECT_TRUE(leader->CheckLeading().ok()) << leader->CheckLeading();
  EXPECT_EQ(Query("SELECT term FROM gptvq.leader"), "1");
}

}  // namespace
}  // namespace gptvq
