// docs/protocol.md, "Workers that fail".
#include "server/scheduler/worker_trust.h"

#include <gtest/gtest.h>

#include <ostream>

#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {

void PrintTo(WorkerTrust trust, std::ostream* out) { *out << Name(trust); }

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A parallel job of as many quantize tasks as it has layers, one of which is done: its tasks are possible.
class WorkerTrustTest : public testing::Test {
 protected:
  void SetUp() override {
    JobSpec spec = AJobSpec();
    spec.propagation = PropagationMode::kParallel;
    spec.shard_layers = 1;
    spec.evaluation_uri.clear();
    job_ = harness_.Submit(spec, 12);
  }

  // Registers workers and lets a good one capture everything, so that many tasks are ready at once.
  void StartFleet(int workers) {
    for (int i = 0; i < workers; ++i) workers_.push_back(harness_.Register("worker-" + std::to_string(i)));
    while (true) {
      const Lease lease = harness_.Poll(workers_[0]);
      if (harness_.TaskOf(lease.task_id).description.kind == TaskKind::kQuantize) {
        EXPECT_TRUE(harness_.Do(ReleaseTask{lease}).ok());
        if (captured_ == 11) break;
        continue;
      }
      EXPECT_TRUE(harness_.Finish(lease).ok());
      ++captured_;
    }
  }

  absl::StatusOr<Decision> Fail(const Lease& lease, FailureClass failure_class = FailureClass::kTransient) {
    return harness_.Do(FailTask{lease, {failure_class, "bad disk", lease.worker_name}});
  }

  // Has a worker fail so many tasks, one after the other.
  std::vector<std::string> FailTasks(const WorkerKey& worker, int count,
                                     FailureClass failure_class = FailureClass::kTransient) {
    std::vector<std::string> failed;
    for (int i = 0; i < count; ++i) {
      const Lease lease = harness_.Poll(worker);
      EXPECT_NE(lease.task_id, "") << worker.name << " gets nothing after " << i << " failures";
      EXPECT_TRUE(Fail(lease, failure_class).ok());
      failed.push_back(lease.task_id);
    }
    return failed;
  }

  WorkerTrust TrustIn(const std::string& name) const {
    return TrustOf(harness_.scheduler.standings(), name, harness_.now.monotonic);
  }

  SchedulerHarness harness_;
  std::string job_;
  std::vector<WorkerKey> workers_;
  int captured_ = 0;
};

TEST(QuarantineAllowance, IsThirtyPercentButOneOfAFewAndNoneOfOne) {
  EXPECT_EQ(QuarantineAllowance(0), 0);
  EXPECT_EQ(QuarantineAllowance(1), 0);
  EXPECT_EQ(QuarantineAllowance(2), 1);
  EXPECT_EQ(QuarantineAllowance(3), 1);
  EXPECT_EQ(QuarantineAllowance(6), 1);
  EXPECT_EQ(QuarantineAllowance(7), 2);
  EXPECT_EQ(QuarantineAllowance(64), 19);
}

TEST_F(WorkerTrustTest, ThreeFailuresInARowOfPossibleTasksAreAQuarantine) {
  StartFleet(8);

  FailTasks(workers_[1], 2);
  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
  FailTasks(workers_[1], 1);

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kQuarantined);
  EXPECT_EQ(harness_.Poll(workers_[1]).task_id, "");
  EXPECT_NE(harness_.Poll(workers_[2]).task_id, "");
}

TEST_F(WorkerTrustTest, ASuccessInBetweenEndsTheRow) {
  StartFleet(8);
  FailTasks(workers_[1], 2);

  EXPECT_TRUE(harness_.Finish(harness_.Poll(workers_[1])).ok());
  FailTasks(workers_[1], 2);

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
}

TEST_F(WorkerTrustTest, ThreeTasksThatOthersGetFurtherWithAreAQuarantine) {
  StartFleet(8);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
    const std::string failed = FailTasks(workers_[1], 1).front();
    EXPECT_TRUE(harness_.Finish(harness_.Poll(workers_[1])).ok());  // so that nothing is in a row
    harness_.Advance(seconds(2));
    const Lease elsewhere = harness_.Poll(workers_[2]);
    ASSERT_EQ(elsewhere.task_id, failed);
    EXPECT_TRUE(harness_.Finish(elsewhere).ok());
  }

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kQuarantined);
}

TEST_F(WorkerTrustTest, EvidenceIsForgottenAfterAnHour) {
  StartFleet(8);
  FailTasks(workers_[1], 2);
  harness_.Advance(minutes(61));
  for (const WorkerKey& worker : workers_) harness_.Register(worker.name);  // forgotten meanwhile

  FailTasks(workers_[1], 1);

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
}

TEST_F(WorkerTrustTest, ReportsOfTroubleAroundTheTaskDoNotCount) {
  StartFleet(8);

  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Fail(harness_.Poll(workers_[1]), FailureClass::kInfra).ok());

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
}

TEST_F(WorkerTrustTest, ANewJobThatFailsEverywhereSaysNothingOfItsWorkers) {
  for (int i = 0; i < 8; ++i) workers_.push_back(harness_.Register("worker-" + std::to_string(i)));
  const Lease first = harness_.Poll(workers_[0]);
  ASSERT_EQ(harness_.scheduler.FindJob(job_)->status.committed_tasks, 0);

  EXPECT_TRUE(Fail(first).ok());
  const std::vector<std::string> failed = FailTasks(workers_[1], 1);

  EXPECT_EQ(TrustIn("worker-0"), WorkerTrust::kTrusted);
  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
}

TEST_F(WorkerTrustTest, AFailedTaskIsKeptFromItsWorkerWhileAnotherIsThere) {
  StartFleet(2);
  const std::string failed = FailTasks(workers_[1], 1).front();
  const auto keep_alive = [&] {  // the other one calls, and takes nothing of it
    const Lease lease = harness_.Poll(workers_[0]);
    ASSERT_NE(lease.task_id, "");
    EXPECT_TRUE(harness_.Do(ReleaseTask{lease}).ok());
  };

  for (int i = 0; i < 20; ++i) {  // long after its rest
    harness_.Advance(seconds(20));
    keep_alive();
    const Lease lease = harness_.Poll(workers_[1]);
    EXPECT_NE(lease.task_id, failed);
    EXPECT_TRUE(harness_.Do(ReleaseTask{lease}).ok());
  }
  harness_.Advance(seconds(40));  // now the other one is silent

  EXPECT_EQ(harness_.Poll(workers_[1]).task_id, failed);
}

TEST_F(WorkerTrustTest, QuarantineRevokesWhatTheWorkerHoldsAndBlamesNobody) {
  StartFleet(8);
  const Lease held = harness_.Poll(workers_[1]);
  FailTasks(workers_[1], 3);
  ASSERT_EQ(TrustIn("worker-1"), WorkerTrust::kQuarantined);
  EXPECT_EQ(ReasonOfError(harness_.Publish(held, harness_.TaskOf(held.task_id).description.layers.begin).status()),
            ErrorReason::kNotHeld);

  harness_.Advance(seconds(1));

  EXPECT_EQ(harness_.StateOf(held.task_id), TaskState::kReady);
  EXPECT_EQ(harness_.TaskOf(held.task_id).status.failures, FailureCounts());
  const auto* revoked = std::get_if<TaskStateChange>(&harness_.events.back().what);
  ASSERT_NE(revoked, nullptr);
  EXPECT_EQ(revoked->trigger, TaskTrigger::kRevoke);
}

TEST_F(WorkerTrustTest, AQuarantineLastsTenMinutes) {
  StartFleet(8);
  FailTasks(workers_[1], 3);

  harness_.Advance(minutes(10) - seconds(1));
  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kQuarantined);
  harness_.Advance(seconds(1));
  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
}

TEST(TrustStep, EachQuarantineIsTwiceAsLongUpToADayUntilAGoodDay) {
  WorkerStandings standings;
  Instant now = {MonotonicTime(std::chrono::hours(1)), WallTime(std::chrono::hours(1000))};
  const auto quarantine = [&] {
    TrustStep step(standings, now);
    step.Quarantine("a", {}, "it fails");
    standings["a"].record = step.Finish()[0];
    return *standings["a"].record.quarantine_end - now.wall;
  };
  minutes expected(10);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(quarantine(), expected) << i;
    now.wall += expected;
    expected = std::min(2 * expected, minutes(24 * 60));
  }

  now.wall += std::chrono::hours(24) + seconds(1);

  EXPECT_EQ(quarantine(), minutes(10));
}

TEST_F(WorkerTrustTest, AnOperatorEndsAQuarantineAndItsHistory) {
  StartFleet(8);
  FailTasks(workers_[1], 3);

  EXPECT_EQ(harness_.Do(ReleaseWorker{"worker-1"})->outcome, Outcome::kDone);

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kTrusted);
  EXPECT_TRUE(harness_.scheduler.standings().empty());
  EXPECT_NE(harness_.Poll(workers_[1]).task_id, "");
  EXPECT_EQ(harness_.Do(ReleaseWorker{"worker-1"})->outcome, Outcome::kNothing);
  EXPECT_EQ(harness_.Do(ReleaseWorker{"nobody"})->outcome, Outcome::kNothing);
}

TEST_F(WorkerTrustTest, BeyondTheAllowanceLeasingStopsUntilTheSuspectsGetFurther) {
  StartFleet(3);
  FailTasks(workers_[1], 3);
  FailTasks(workers_[2], 3);

  EXPECT_EQ(TrustIn("worker-1"), WorkerTrust::kQuarantined);
  EXPECT_EQ(TrustIn("worker-2"), WorkerTrust::kSuspect);
  EXPECT_EQ(harness_.scheduler.StoppedClasses(), std::set<std::string>{"cpu"});
  for (const WorkerKey& worker : workers_) EXPECT_EQ(harness_.Poll(worker).task_id, "");

  harness_.Advance(seconds(61));  // a probe
  EXPECT_EQ(harness_.Poll(workers_[0]).task_id, "");
  const Lease probe = harness_.Poll(workers_[2]);
  ASSERT_NE(probe.task_id, "");
  EXPECT_EQ(harness_.Poll(workers_[2]).task_id, "") << "one at a time";
  EXPECT_TRUE(harness_.Finish(probe).ok());

  EXPECT_EQ(TrustIn("worker-2"), WorkerTrust::kTrusted);
  EXPECT_TRUE(harness_.scheduler.StoppedClasses().empty());
  EXPECT_NE(harness_.Poll(workers_[0]).task_id, "");
}

TEST_F(WorkerTrustTest, WhatASuspectFailsDoesNotSpendTheBudgetOfTheTask) {
  StartFleet(3);
  FailTasks(workers_[1], 3);
  FailTasks(workers_[2], 3);
  harness_.Advance(seconds(61));
  const Lease probe = harness_.Poll(workers_[2]);
  const FailureCounts before = harness_.TaskOf(probe.task_id).status.failures;

  EXPECT_TRUE(Fail(probe).ok());

  const FailureCounts after = harness_.TaskOf(probe.task_id).status.failures;
  EXPECT_EQ(after.transient, before.transient);
  EXPECT_EQ(after.uncounted, before.uncounted + 1);
  EXPECT_EQ(TrustIn("worker-2"), WorkerTrust::kSuspect);
}

TEST_F(WorkerTrustTest, ASuspectFollowsIntoQuarantineWhenTheFleetGrows) {
  StartFleet(3);
  FailTasks(workers_[1], 3);
  FailTasks(workers_[2], 3);

  for (int i = 3; i < 7; ++i) harness_.Register("worker-" + std::to_string(i));
  harness_.Advance(seconds(1));

  EXPECT_EQ(TrustIn("worker-2"), WorkerTrust::kQuarantined);
  EXPECT_NE(harness_.Poll(workers_[0]).task_id, "");
}

TEST_F(WorkerTrustTest, ASingleWorkerIsNeverTakenOut) {
  StartFleet(1);

  FailTasks(workers_[0], 3);

  EXPECT_EQ(TrustIn("worker-0"), WorkerTrust::kTrusted);
  EXPECT_TRUE(harness_.scheduler.StoppedClasses().empty());
}

TEST_F(WorkerTrustTest, WhatIsRememberedSurvivesARestart) {
  StartFleet(3);
  FailTasks(workers_[1], 3);
  FailTasks(workers_[2], 2);
  std::vector<WorkerRecord> records;
  for (const auto& [name, standing] : harness_.scheduler.standings()) records.push_back(standing.record);
  SchedulerHarness after;
  after.now = harness_.now;

  after.now.wall += minutes(4);  // the time that the restart took; monotonic clocks begin anew
  after.now.monotonic = MonotonicTime(seconds(5));
  after.scheduler.Restore({{*harness_.scheduler.FindJob(job_)}, 1, records}, after.now);

  const auto trust = [&](const std::string& name) {
    return TrustOf(after.scheduler.standings(), name, after.now.monotonic);
  };
  EXPECT_EQ(trust("worker-1"), WorkerTrust::kQuarantined);
  EXPECT_EQ(after.scheduler.standings().at("worker-2").record.failures.size(), 2u);
  after.Advance(minutes(6) - seconds(1));
  EXPECT_EQ(trust("worker-1"), WorkerTrust::kQuarantined);
  after.Advance(seconds(1));
  EXPECT_EQ(trust("worker-1"), WorkerTrust::kTrusted);
}

TEST_F(WorkerTrustTest, AClockThatWasFarAheadDoesNotMakeAQuarantineLonger) {
  StartFleet(3);
  FailTasks(workers_[1], 3);
  std::vector<WorkerRecord> records = {harness_.scheduler.standings().at("worker-1").record};
  records[0].quarantine_end = harness_.now.wall + std::chrono::hours(24 * 365);
  SchedulerHarness after;

  after.scheduler.Restore({{}, 1, records}, harness_.now);

  EXPECT_EQ(after.scheduler.standings().at("worker-1").quarantine_end, harness_.now.monotonic + std::chrono::hours(24));
}

TEST_F(WorkerTrustTest, ATaskThatThreeWorkersFailAlikeIsPoison) {
  StartFleet(8);
  const std::string task_id = FailTasks(workers_[1], 1).front();
  for (int i = 2; i < 4; ++i) {
    harness_.Advance(seconds(5));
    const Lease lease = harness_.Poll(workers_[i]);
    ASSERT_EQ(lease.task_id, task_id);
    EXPECT_TRUE(Fail(lease).ok());
  }

  EXPECT_EQ(harness_.StateOf(task_id), TaskState::kFailed);
  const std::string message = harness_.scheduler.FindJob(job_)->status.failure->message;
  EXPECT_NE(message.find("worker-1: transient, worker-2: transient, worker-3: transient"), std::string::npos)
      << message;
}

TEST_F(WorkerTrustTest, FiveLostLeasesOnThreeWorkersArePoison) {
  StartFleet(8);
  std::string task_id;
  for (int i = 0; i < 5; ++i) {
    const Lease lease = harness_.Poll(workers_[1 + i % 4]);
    if (task_id.empty()) task_id = lease.task_id;
    ASSERT_EQ(lease.task_id, task_id) << i;
    EXPECT_NE(harness_.StateOf(task_id), TaskState::kFailed);
    harness_.Advance(seconds(31));
  }

  EXPECT_EQ(harness_.StateOf(task_id), TaskState::kFailed);
}

TEST_F(WorkerTrustTest, RecordsOfWorkersThatNeverComeBackDoNotPileUp) {
  StartFleet(3);
  for (int i = 0; i < 50; ++i) {
    const WorkerKey passing = harness_.Register("passing-" + std::to_string(i));
    const Lease lease = harness_.Poll(passing);
    EXPECT_TRUE(Fail(lease, FailureClass::kDevice).ok());
    harness_.Advance(minutes(10));
    EXPECT_TRUE(harness_.Finish(harness_.Poll(harness_.Register("worker-0"))).ok());
    if (harness_.JobStateOf(job_) != JobState::kRunning) {
      JobSpec spec = AJobSpec();
      job_ = harness_.Submit(spec, 12, "job-" + std::to_string(i + 2));
    }
  }

  EXPECT_LE(harness_.scheduler.standings().size(), 8u);
}

}  // namespace
}  // namespace gptvq
