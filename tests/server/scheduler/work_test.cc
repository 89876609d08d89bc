// What holders report: layers, results, failures, and giving a task back.
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

TEST(PublishLayer, LayersOfAShardComeInOrder) {
  SchedulerHarness h;
  JobSpec spec = QuantizeOnly();
  spec.shard_layers = 3;
  h.Submit(spec, 6);
  const Lease lease = h.Poll(h.Register("a"));

  EXPECT_EQ(ReasonOfError(h.Publish(lease, 1).status()), ErrorReason::kLayerOutOfOrder);
  EXPECT_TRUE(h.Publish(lease, 0).ok());
  EXPECT_TRUE(h.Publish(lease, 1).ok());
  EXPECT_EQ(ReasonOfError(h.Publish(lease, 3).status()), ErrorReason::kInvalidField);  // next shard
  EXPECT_EQ(ReasonOfError(h.Publish(lease, -1).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.published_layers, 2);
}

TEST(PublishLayer, AgainIsHarmlessAndOtherBytesAreAConflict) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const Lease lease = h.Poll(h.Register("a"));
  ASSERT_TRUE(h.Publish(lease, 0).ok());

  const auto again = h.Publish(lease, 0);
  const auto other = h.Do(PublishLayer{lease, {0, DigestOf("other bytes"), {}}});

  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_TRUE(again->transition.empty());
  EXPECT_EQ(ReasonOfError(other.status()), ErrorReason::kLayerConflict);
}

TEST(PublishLayer, IsForQuantizeTasksOnly) {
  SchedulerHarness h;
  JobSpec spec = QuantizeOnly();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  h.Submit(spec, 2);
  const Lease capture = h.Poll(h.Register("a"));

  ASSERT_EQ(capture.task_id, "job-1/capture-0");
  EXPECT_EQ(ReasonOfError(h.Publish(capture, 0).status()), ErrorReason::kInvalidField);
}

TEST(PublishLayer, IsASignOfLifeAndClearsTheFailuresBefore) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const WorkerKey a = h.Register("a");
  Lease lease = h.Poll(a);
  ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kTransient, "m", "a"}}).ok());
  h.Advance(milliseconds(2'000));
  lease = h.Poll(a);
  ASSERT_EQ(h.TaskOf(lease.task_id).status.failures.transient, 1);

  h.Advance(h.scheduler.options().lease_ttl - milliseconds(1));
  ASSERT_TRUE(h.Publish(lease, 0).ok());
  h.Advance(milliseconds(1));

  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kLeased);
  EXPECT_EQ(h.TaskOf(lease.task_id).status.failures, FailureCounts());
}

TEST(CompleteTask, UnblocksWhatDependsOnItAndEndsTheJobWithTheLast) {
  SchedulerHarness h;
  h.Submit(AJobSpec(), 2);
  const WorkerKey a = h.Register("a");
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kPending);

  const Lease quantize = h.Poll(a);
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kRunning);
  EXPECT_EQ(h.StateOf("job-1/finalize-0"), TaskState::kBlocked);
  ASSERT_TRUE(h.Finish(quantize).ok());
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFinalizing);
  for (const char* expected : {"job-1/finalize-0", "job-1/evaluate-0", "job-1/evaluate-1"}) {
    const Lease lease = h.Poll(a);
    EXPECT_EQ(lease.task_id, expected);
    ASSERT_TRUE(h.Finish(lease).ok());
  }

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.committed_tasks, 4);
  EXPECT_TRUE(h.scheduler.FindJob("job-1")->status.end_time.has_value());
  EXPECT_TRUE(h.scheduler.held().empty());
  EXPECT_TRUE(h.scheduler.ready().empty());
}

TEST(CompleteTask, AgainWithTheSameResultIsHarmlessAlsoAfterTheJobEnded) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease finalize = h.Poll(a);
  ASSERT_TRUE(h.Finish(finalize).ok());
  ASSERT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);

  const auto again = h.Do(CompleteTask{finalize, {{}, FinalizeResult{1000, DigestOf("manifest")}}});
  const auto other = h.Do(CompleteTask{finalize, {{}, FinalizeResult{1001, DigestOf("manifest")}}});

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_EQ(ReasonOfError(other.status()), ErrorReason::kNotHeld);
}

TEST(CompleteTask, NeedsEveryLayerAndTheBoundaryThatWasWanted) {
  SchedulerHarness h;
  JobSpec spec = QuantizeOnly();
  spec.shard_layers = 2;
  h.Submit(spec, 4);
  const Lease lease = h.Poll(h.Register("a"));
  const TaskResult with_boundary = {{}, QuantizeResult{DigestOf("boundary")}};

  ASSERT_TRUE(h.Publish(lease, 0).ok());
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{lease, with_boundary}).status()), ErrorReason::kOutputMissing);
  ASSERT_TRUE(h.Publish(lease, 1).ok());
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{lease, {{}, QuantizeResult{}}}).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{lease, {{}, EvaluateResult{2, 2}}}).status()), ErrorReason::kInvalidField);
  EXPECT_TRUE(h.Do(CompleteTask{lease, with_boundary}).ok());

  const Lease last = h.Poll(h.Register("b"));
  ASSERT_TRUE(h.Publish(last, 2).ok());
  ASSERT_TRUE(h.Publish(last, 3).ok());
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{last, with_boundary}).status()), ErrorReason::kInvalidField);
  EXPECT_TRUE(h.Do(CompleteTask{last, {{}, QuantizeResult{}}}).ok());
}

TEST(FailTask, AFatalFailureFailsTheJobAndStopsEverythingElse) {
  SchedulerHarness h;
  JobSpec spec = AJobSpec();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  h.Submit(spec, 3);
  const Lease capture = h.Poll(h.Register("a"));
  const Lease quantize = h.Poll(h.Register("b"));
  ASSERT_EQ(quantize.task_id, "job-1/quantize-0");

  ASSERT_TRUE(h.Do(FailTask{capture, {FailureClass::kFatal, "weights are not finite", "a"}}).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailing);
  EXPECT_EQ(h.StateOf(capture.task_id), TaskState::kFailed);
  EXPECT_EQ(h.StateOf("job-1/evaluate-0"), TaskState::kCancelled);
  EXPECT_EQ(h.StateOf(quantize.task_id), TaskState::kCancelling);
  EXPECT_EQ(h.Do(RenewLease{quantize, {}})->outcome, Outcome::kCancelRequested);
  EXPECT_EQ(ReasonOfError(h.Publish(quantize, 0).status()), ErrorReason::kJobCancelled);
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{quantize, {{}, QuantizeResult{}}}).status()), ErrorReason::kJobCancelled);
  ASSERT_TRUE(h.Do(ReleaseTask{quantize}).ok());
  EXPECT_EQ(h.StateOf(quantize.task_id), TaskState::kCancelled);
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailed);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.failure->message, "task job-1/capture-0: weights are not finite");
}

TEST(FailTask, TooManyFailuresPoisonTheTask) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const WorkerKey a = h.Register("a");

  for (int attempt = 1; attempt <= h.scheduler.options().retry.max_transient + 1; ++attempt) {
    ASSERT_TRUE(h.Do(RegisterWorker{a, "cpu", "1", {}}).ok());
    const Lease lease = h.Poll(a);
    ASSERT_EQ(lease.epoch, attempt);
    ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kTransient, "read timed out", "a"}}).ok());
    h.Advance(h.scheduler.options().retry.backoff_cap);
  }

  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kFailed);
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailed);
}

TEST(FailTask, LosingTooManyLeasesPoisonsTheTask) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  for (int attempt = 1; attempt <= h.scheduler.options().retry.max_lost + 1; ++attempt) {
    ASSERT_EQ(h.JobStateOf("job-1") == JobState::kFailed, false) << attempt;
    ASSERT_EQ(h.Poll(h.Register("w" + std::to_string(attempt % 2))).epoch, attempt);  // two are not enough for less
    h.Advance(h.scheduler.options().lease_ttl);
  }

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailed);
}

TEST(FailTask, AgainIsHarmlessAndAnotherStoryIsRefused) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("a"));
  const TaskFailure failure = {FailureClass::kTransient, "m", "a"};
  ASSERT_TRUE(h.Do(FailTask{lease, failure}).ok());

  const auto again = h.Do(FailTask{lease, failure});
  const auto other = h.Do(FailTask{lease, {FailureClass::kFatal, "m", "a"}});

  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_EQ(h.TaskOf(lease.task_id).status.failures.transient, 1);
  EXPECT_EQ(ReasonOfError(other.status()), ErrorReason::kNotHeld);
}

TEST(FailTask, OnACancelledTaskJustEndsIt) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 1);
  const Lease lease = h.Poll(h.Register("a"));
  ASSERT_TRUE(h.Do(CancelJob{"job-1"}).ok());

  ASSERT_TRUE(h.Do(FailTask{lease, {FailureClass::kFatal, "m", "a"}}).ok());

  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kCancelled);
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelled);
}

TEST(ReleaseTask, ReturnsTheTaskUntouchedAndAgainIsHarmless) {
  SchedulerHarness h;
  h.Submit(QuantizeOnly(), 2);
  const WorkerKey a = h.Register("a");
  const Lease lease = h.Poll(a);
  ASSERT_TRUE(h.Publish(lease, 0).ok());

  ASSERT_TRUE(h.Do(ReleaseTask{lease}).ok());
  const auto again = h.Do(ReleaseTask{lease});

  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kReady);
  EXPECT_EQ(h.TaskOf(lease.task_id).status.failures, FailureCounts());
  const Lease next = h.Poll(a);  // at once, by the same worker
  EXPECT_EQ(next.epoch, 2);
  ASSERT_TRUE(h.Publish(next, 1).ok());  // layer 0 is kept
  EXPECT_TRUE(h.Do(CompleteTask{next, {{}, QuantizeResult{}}}).ok());
  EXPECT_EQ(ReasonOfError(h.Do(ReleaseTask{next}).status()), ErrorReason::kNotHeld);
}

}  // namespace
}  // namespace gptvq
