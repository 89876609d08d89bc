#ifndef GPTVQ_TESTS_PLATFORM_JOB_STORE_POSTGRES_STORE_FIXTURE_H_
#define GPTVQ_TESTS_PLATFORM_JOB_STORE_POSTGRES_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_replace.h"

#include "platform/job_store/postgres_job_store.h"
#include "server/planner.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/job_builders.h"
#include "tests/support/postgres_server.h"

namespace gptvq {

// One server for the suite, an empty database for each test.
class PostgresStoreTest : public testing::Test {
 protected:
  using StorePtr = std::unique_ptr<PostgresJobStore>;

  static void SetUpTestSuite() { server_ = new PostgresServer(); }
  static void TearDownTestSuite() { delete server_; }

  void SetUp() override { uri_ = server_->MakeDatabase("journal"); }

  // With a term that does not end by itself during the test, and so without renewals.
  PostgresJobStore::Options Options() const {
    PostgresJobStore::Options options;
    options.leader.uri = uri_;
    options.leader.term_ttl = std::chrono::hours(1);
    options.leader.name = "store of the test";
    return options;
  }
  // The same for a role that owns the database and may do nothing else.
  PostgresJobStore::Options OptionsOfAPlainRole() const {
    Query(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'plain') THEN CREATE ROLE plain LOGIN; "
        "END IF; END $$");
    Query("ALTER DATABASE journal OWNER TO plain");
    PostgresJobStore::Options options = Options();
    options.leader.uri = absl::StrReplaceAll(uri_, {{"postgres@", "plain@"}});
    return options;
  }
  StorePtr Open(const PostgresJobStore::Options& options) {
    auto store = PostgresJobStore::Open(options, clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  // One that leads.
  StorePtr OpenLeader() {
    StorePtr store = Open(Options());
    EXPECT_TRUE(store->LoadActive().ok());
    return store;
  }

  static Transition Submission(const std::string& job_id = "job-1") {
    SubmitJob event;
    event.job.job_id = job_id;
    event.job.request_id = "r-" + job_id;
    event.job.spec = AJobSpec();
    event.job.layer_count = 4;
    event.tasks = PlanJob(event.job.spec, 4, job_id)->tasks;
    return Scheduler({}).Decide(event, {})->transition;
  }

  // Brings the job row of a submission to `revision`, with one event.
  static Transition Change(std::int64_t revision) {
    const Transition submission = Submission();
    Transition change;
    change.job_id = submission.job_id;
    change.job = submission.created->status;
    change.job->revision = revision;
    JobEvent event;
    event.seq = revision - 1;  // the submission has none
    change.events.push_back(event);
    change.job->last_event_seq = event.seq;
    return change;
  }

  std::int64_t StoredRevision() const { return std::stoll(Query("SELECT revision FROM gptvq.jobs")); }
  std::string Query(const std::string& sql) const { return server_->Query("journal", sql); }

  // Looks until it is so; fails the test after a minute.
  void WaitUntil(const std::function<bool()>& condition, const std::string& what) {
    const MonotonicTime deadline = clock_.MonotonicNow() + std::chrono::minutes(1);
    while (!condition()) {
      ASSERT_LT(clock_.MonotonicNow(), deadline) << "waited for " << what;
      clock_.Sleep(std::chrono::milliseconds(10), {});
    }
  }
  // Waits for the backend of a store that is in this state, and returns its process id.
  std::string WaitForBackend(const std::string& where) {
    std::string pid;
    WaitUntil(
        [&] {
          pid = Query("SELECT pid FROM pg_stat_activity WHERE application_name = 'gptvq-coordinator' AND " + where);
          return !pid.empty();
        },
        "a backend where " + where);
    return pid;
  }

  static inline PostgresServer* server_ = nullptr;
  SystemClock clock_;
  std::string uri_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_PLATFORM_JOB_STORE_POSTGRES_STORE_FIXTURE_H_
