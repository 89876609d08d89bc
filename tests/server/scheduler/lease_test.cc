// Who may hold a task, and when it is offered to others.
#include <gtest/gtest.h>

#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

JobSpec QuantizeOnly() {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  return spec;
}

TEST(Lease, AWorkerMustRegisterBeforeItPolls) {
  SchedulerHarness h;
  const auto refused = h.Do(PollTask{{"a", "1"}, "p"});

  EXPECT_EQ(ReasonOfError(refused.status()), ErrorReason::kWorkerUnknown);
}

TEST(Lease, AGrantRaisesEpochAndAttemptAndNamesTheHolder) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const WorkerKey a = h.Register("a");

  const Lease first = h.Poll(a);
  ASSERT_TRUE(h.Do(ReleaseTask{first}).ok());
  const Lease second = h.Poll(a);

  EXPECT_EQ(first.task_id, "job-1/quantize-0");
  EXPECT_EQ(first.epoch, 1);
  EXPECT_EQ(second.epoch, 2);
  const TaskStatus& status = h.TaskOf(second.task_id).status;
  EXPECT_EQ(status.attempt, 2);
  EXPECT_EQ(status.worker_name, "a");
  EXPECT_EQ(status.state, TaskState::kLeased);
}

TEST(Lease, ATaskIsGrantedToOneWorkerAtATime) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);

  EXPECT_EQ(h.Poll(h.Register("a")).task_id, "job-1/quantize-0");
  EXPECT_EQ(h.Poll(h.Register("b")).task_id, "");
}

TEST(Lease, TheSamePollAnswersTheSameGrantWhileItIsHeld) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const WorkerKey a = h.Register("a");

  const Lease first = h.Poll(a, "lost-answer");
  const Lease again = h.Poll(a, "lost-answer");
  h.Advance(h.scheduler.options().lease_ttl);
  const Lease after_expiry = h.Poll(a, "lost-answer");

  EXPECT_EQ(again.task_id, first.task_id);
  EXPECT_EQ(again.epoch, first.epoch);
  EXPECT_EQ(after_expiry.epoch, first.epoch + 1);
}

TEST(Lease, RenewalsKeepATaskForAsLongAsTheyCome) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const Lease lease = h.Poll(h.Register("a"));

  for (std::uint64_t beat = 1; beat <= 20; ++beat) {
    h.Advance(h.scheduler.options().lease_ttl - milliseconds(1));
    const auto renewed = h.Do(RenewLease{lease, {.counter = beat, .fraction = 0.5, .layer = 1, .step = "q"}});
    ASSERT_TRUE(renewed.ok()) << renewed.status();
    EXPECT_EQ(renewed->outcome, Outcome::kDone);
    EXPECT_TRUE(renewed->transition.empty());
  }
  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kLeased);
  EXPECT_EQ(h.scheduler.held().begin()->second.progress.counter, 20u);
}

TEST(Lease, SilenceReturnsTheTaskAndTheZombieIsRefusedBeforeAndAfterTheNextGrant) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  const Lease zombie = h.Poll(a);

  h.Advance(h.scheduler.options().lease_ttl);

  EXPECT_EQ(h.StateOf(zombie.task_id), TaskState::kReady);
  EXPECT_EQ(ReasonOfError(h.Do(RenewLease{zombie, {}}).status()), ErrorReason::kNotHeld);
  EXPECT_EQ(ReasonOfError(h.Publish(zombie, 0).status()), ErrorReason::kNotHeld);
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{zombie, {{}, QuantizeResult{}}}).status()), ErrorReason::kNotHeld);

  const Lease next = h.Poll(h.Register("b"));
  EXPECT_EQ(next.epoch, zombie.epoch + 1);
  EXPECT_EQ(ReasonOfError(h.Do(RenewLease{zombie, {}}).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Publish(zombie, 0).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{zombie, {{}, QuantizeResult{}}}).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Do(FailTask{zombie, {}}).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Do(ReleaseTask{zombie}).status()), ErrorReason::kStaleEpoch);
  EXPECT_TRUE(h.Finish(next).ok());
}

TEST(Lease, SilenceWhileTheCoordinatorStoodStillIsForgivenForOneTtl) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey worker = h.Register("a");
  const Lease lease = h.Poll(worker);
  const milliseconds ttl = h.scheduler.options().lease_ttl;

  h.now.monotonic += 2 * ttl;  // without a tick
  ASSERT_TRUE(h.Do(ForgiveSilence{}).ok());

  h.Advance(ttl - milliseconds(1));
  EXPECT_TRUE(h.scheduler.CheckHolder(lease).ok());
  h.Advance(milliseconds(1));
  EXPECT_EQ(ReasonOf(h.scheduler.CheckHolder(lease)), ErrorReason::kNotHeld);
}

TEST(Lease, ATaskGrantedToTheSameWorkerAgainIsAnotherLease) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  const Lease first = h.Poll(a);
  ASSERT_TRUE(h.Do(ReleaseTask{first}).ok());
  const Lease second = h.Poll(a);

  EXPECT_EQ(ReasonOfError(h.Do(RenewLease{first, {}}).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Do(ReleaseTask{first}).status()), ErrorReason::kStaleEpoch);
  EXPECT_TRUE(h.Do(RenewLease{second, {}}).ok());
}

TEST(Lease, ALateCommitIsAcceptedAsLongAsNobodyNoticedTheSilence) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("a"));

  h.now.monotonic += 10 * h.scheduler.options().lease_ttl;  // time passes without a tick
  EXPECT_TRUE(h.Do(RenewLease{lease, {}}).ok());
  EXPECT_TRUE(h.Finish(lease).ok());
  h.Advance(milliseconds(0));

  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kCommitted);
}

TEST(Lease, TwoProcessesOfOneNameAreTwoHolders) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("twin"));
  Lease other = lease;
  other.incarnation = "another";

  EXPECT_EQ(ReasonOfError(h.Do(RenewLease{other, {}}).status()), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOfError(h.Do(ReleaseTask{other}).status()), ErrorReason::kStaleEpoch);
}

TEST(Lease, AnEpochThatWasNeverGrantedProvesARollback) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  Lease lease = h.Poll(h.Register("a"));
  lease.epoch += 1;

  EXPECT_EQ(ReasonOfError(h.Do(RenewLease{lease, {}}).status()), ErrorReason::kRollbackSuspected);
}

TEST(Lease, EpochsOfANewGenerationLieBeyondAllThatTheLostHistoryGranted) {
  SchedulerHarness before;
  before.Submit(QuantizeOnly(), 1);
  const WorkerKey worker = before.Register("a");
  SchedulerHarness after;
  after.scheduler.Restore({{*before.scheduler.FindJob("job-1")}, 1, {}, 3}, after.now);
  Lease lost = before.Poll(worker);  // and forgotten
  lost.epoch += 5;

  EXPECT_EQ(ReasonOfError(after.Do(RenewLease{lost, {}}).status()), ErrorReason::kStaleEpoch);
  const Lease granted = after.Poll(after.Register("b"));
  EXPECT_EQ(granted.epoch, (std::int64_t{3} << 32) + 1);
  EXPECT_EQ(ReasonOfError(after.Do(RenewLease{lost, {}}).status()), ErrorReason::kStaleEpoch);
  ASSERT_TRUE(after.Do(ReleaseTask{granted}).ok());
  EXPECT_EQ(after.Poll(after.Register("b")).epoch, granted.epoch + 1);
}

TEST(Lease, UnknownTasksAndJobsAreSaidToBeUnknown) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  for (const char* id : {"job-1/quantize-9", "job-2/quantize-0", "job-1", "", "/"}) {
    EXPECT_EQ(ReasonOfError(h.Do(RenewLease{{id, 1, "a", "1", ""}, {}}).status()), ErrorReason::kTaskUnknown) << id;
  }
}

TEST(Lease, HeartbeatsWithoutProgressEndInAStall) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("a"));
  ASSERT_TRUE(h.Do(RenewLease{lease, {.counter = 5, .fraction = 0, .layer = 0, .step = ""}}).ok());

  const auto beats = h.scheduler.options().stall_after / milliseconds(10'000);
  for (int beat = 0; beat < beats; ++beat) {
    h.Advance(milliseconds(10'000));
    ASSERT_EQ(h.StateOf(lease.task_id), TaskState::kLeased) << beat;
    ASSERT_TRUE(h.Do(RenewLease{lease, {.counter = 5, .fraction = 0, .layer = 0, .step = ""}}).ok());
  }
  h.Advance(milliseconds(10'000));

  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kReady);
  EXPECT_EQ(h.TaskOf(lease.task_id).status.failures.transient, 1);
}

TEST(Lease, AProgressCounterThatFallsIsIgnored) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("a"));

  ASSERT_TRUE(h.Do(RenewLease{lease, {.counter = 7, .fraction = 0.7, .layer = 0, .step = "new"}}).ok());
  ASSERT_TRUE(h.Do(RenewLease{lease, {.counter = 3, .fraction = 0.3, .layer = 0, .step = "old"}}).ok());

  EXPECT_EQ(h.scheduler.held().begin()->second.progress.step, "new");
}

TEST(Lease, TheFirstGrantPinsTheNumericsClassOfTheJob) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 2);
  const WorkerKey cpu = h.Register("cpu", "cpu-ref/k1");
  const WorkerKey gpu = h.Register("gpu", "sm90/k1");

  ASSERT_EQ(h.Poll(cpu).task_id, "job-1/quantize-0");

  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.numerics_class, "cpu-ref/k1");
  EXPECT_EQ(h.Poll(gpu).task_id, "");
  EXPECT_EQ(h.Poll(cpu).task_id, "job-1/evaluate-0");
}

TEST(Lease, OlderJobsComeFirst) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1, "job-b");
  h.Submit(QuantizeOnly(), 1, "job-a");

  EXPECT_EQ(h.Poll(h.Register("a")).task_id, "job-b/quantize-0");
  EXPECT_EQ(h.Poll(h.Register("b")).task_id, "job-a/quantize-0");
}

TEST(Lease, AFailedTaskRestsAndGoesToAnotherWorkerFirst) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  const WorkerKey b = h.Register("b");
  const Lease lease = h.Poll(a);
  ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kTransient, "broken read", "a"}}).ok());

  EXPECT_EQ(h.Poll(b).task_id, "");  // rests
  h.Advance(h.scheduler.options().retry.backoff_base);
  EXPECT_EQ(h.Poll(a).task_id, "");  // b is there
  EXPECT_EQ(h.Poll(b).task_id, lease.task_id);
}

TEST(Lease, AFailedTaskGoesBackToTheOnlyWorkerThereIs) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  h.Register("other-class", "gpu");
  const Lease lease = h.Poll(a);
  ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kDevice, "ECC", "a"}}).ok());

  h.Advance(h.scheduler.options().retry.backoff_base);
  EXPECT_EQ(h.Poll(a).task_id, lease.task_id);
}

TEST(Lease, ATaskThatAllHaveFailedGoesBackToTheLatestLast) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  const WorkerKey b = h.Register("b");
  const milliseconds rest = 2 * h.scheduler.options().retry.backoff_base;  // of a second failure
  for (const WorkerKey& worker : {b, a}) {
    ASSERT_TRUE(h.Do(RegisterWorker{worker, "cpu", "1", {}}).ok());
    const Lease lease = h.Poll(worker);
    ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kDevice, "m", worker.name}}).ok());
    h.Advance(rest);
  }

  const auto stay = [&] { EXPECT_TRUE(h.Do(RegisterWorker{b, "cpu", "1", {}}).ok()); };  // alive, only not polling
  stay();
  EXPECT_EQ(h.Poll(a).task_id, "");
  h.Advance(h.scheduler.options().avoid_for);
  stay();
  EXPECT_EQ(h.Poll(a).task_id, "job-1/quantize-0");
}

TEST(Lease, WorkersThatWentSilentAreForgotten) {
  SchedulerHarness h;
  const WorkerKey a = h.Register("a");
  h.Advance(10 * h.scheduler.options().lease_ttl);
  EXPECT_EQ(h.scheduler.workers().size(), 1u);
  h.Advance(milliseconds(1));

  EXPECT_TRUE(h.scheduler.workers().empty());
  EXPECT_EQ(ReasonOfError(h.Do(PollTask{a, "p"}).status()), ErrorReason::kWorkerUnknown);
}

TEST(Lease, TheNumberOfWorkersIsBounded) {
  SchedulerOptions options;
  options.max_workers = 2;
  SchedulerHarness h(options);
  h.Register("a");
  h.Register("b");

  EXPECT_EQ(h.Do(RegisterWorker{{"c", "1"}, "cpu", "1", {}}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(h.Do(RegisterWorker{{"a", "incarnation of a"}, "cpu", "2", {}}).ok());  // again is always fine
}

}  // namespace
}  // namespace gptvq
