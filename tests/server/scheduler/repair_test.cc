// What happens when the store loses what tasks made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/grant.h"
#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Digest kBoundary = DigestOf("boundary after 2");

Digest Layer(int layer) { return DigestOf("layer " + std::to_string(layer)); }

// A sequential job of two shards of two layers: quantize-0 leaves the boundary that quantize-1 reads.
class RepairTest : public testing::Test {
 protected:
  RepairTest() {
    JobSpec spec = AJobSpec();
    spec.evaluation_uri.clear();
    spec.shard_layers = 2;
    h.Submit(spec, 4);
  }

  absl::StatusOr<Decision> FailBecauseOf(const Lease& lease, std::vector<Digest> lost) {
    return h.Do(FailTask{lease, {FailureClass::kTransient, "gone", lease.worker_name}, std::move(lost)});
  }

  TaskGrant GrantOf(const Lease& lease) {
    const auto found = h.scheduler.FindTask(lease.task_id);
    return MakeGrant(*found->job, found->key.index, std::chrono::milliseconds(1), {});
  }

  std::vector<int> PublishedOf(const Lease& lease) {
    std::vector<int> layers;
    for (const PublishedLayer& layer : GrantOf(lease).published_layers) layers.push_back(layer.layer);
    return layers;
  }

  SchedulerHarness h;
  const WorkerKey a = h.Register("a");
};

TEST_F(RepairTest, ALostBoundaryIsMadeAgainByItsMakerWhileItsReaderWaits) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease reader = h.Poll(a);

  ASSERT_TRUE(FailBecauseOf(reader, {kBoundary}).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kReady);
  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kBlocked);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.committed_tasks, 0);
  const Lease maker = h.Poll(a);
  EXPECT_EQ(maker.task_id, "job-1/quantize-0");
  EXPECT_EQ(maker.epoch, 2);
  EXPECT_THAT(PublishedOf(maker), ElementsAre(0, 1));  // its layers are not lost
  ASSERT_TRUE(h.Finish(maker).ok());
  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kReady);
  EXPECT_EQ(h.Poll(a).epoch, 2);
}

TEST_F(RepairTest, ALossIsNobodysFailure) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());

  ASSERT_TRUE(FailBecauseOf(h.Poll(a), {kBoundary}).ok());

  EXPECT_EQ(h.TaskOf("job-1/quantize-1").status.failures, FailureCounts());
  EXPECT_THAT(h.TaskOf("job-1/quantize-1").status.failed_attempts, IsEmpty());
  EXPECT_TRUE(h.scheduler.standings().empty());
}

TEST_F(RepairTest, OnlyLostLayersAreComputedAgainAndWithTheSameBytes) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease finalize = h.Poll(a);
  ASSERT_EQ(h.JobStateOf("job-1"), JobState::kFinalizing);

  ASSERT_TRUE(FailBecauseOf(finalize, {Layer(0), Layer(3)}).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kRunning);
  EXPECT_EQ(h.StateOf("job-1/finalize-0"), TaskState::kBlocked);
  const Lease first = h.Poll(a);
  EXPECT_THAT(PublishedOf(first), ElementsAre(1));
  EXPECT_EQ(ReasonOfError(h.Do(CompleteTask{first, h.ResultFor(h.TaskOf(first.task_id).description)}).status()),
            ErrorReason::kOutputMissing);
  const auto other = h.Do(PublishLayer{first, {0, DigestOf("other bytes"), {}}});
  EXPECT_EQ(ReasonOfError(other.status()), ErrorReason::kLayerConflict);
  const auto again = h.Publish(first, 0);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kDone);
  EXPECT_EQ(h.Publish(first, 0)->outcome, Outcome::kRepeated);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.published_layers, 4);
  ASSERT_TRUE(h.Finish(first).ok());
  const Lease second = h.Poll(a);
  EXPECT_THAT(PublishedOf(second), ElementsAre(2));
  ASSERT_TRUE(h.Publish(second, 3).ok());
  ASSERT_TRUE(h.Finish(second).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
}

TEST_F(RepairTest, ATaskWhoseOwnLayerIsLostGoesOnAtOnce) {
  Lease lease = h.Poll(a);
  ASSERT_TRUE(h.Publish(lease, 0).ok());
  ASSERT_TRUE(h.Do(ReleaseTask{lease}).ok());
  lease = h.Poll(a);

  ASSERT_TRUE(FailBecauseOf(lease, {Layer(0)}).ok());

  EXPECT_EQ(h.StateOf(lease.task_id), TaskState::kReady);
  lease = h.Poll(a);
  EXPECT_THAT(PublishedOf(lease), IsEmpty());
  EXPECT_EQ(ReasonOfError(h.Publish(lease, 1).status()), ErrorReason::kLayerOutOfOrder);
  EXPECT_TRUE(h.Publish(lease, 0).ok());
  EXPECT_TRUE(h.Publish(lease, 1).ok());
}

TEST_F(RepairTest, ALossThatGoesDeepIsMadeGoodStepByStep) {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  h.Submit(spec, 3, "job-2");
  const WorkerKey b = h.Register("b");
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());  // job-1 is out of the way
  for (const char* task : {"job-2/capture-0", "job-2/capture-1"}) {
    const Lease lease = h.Poll(b);
    ASSERT_EQ(lease.task_id, task);
    ASSERT_TRUE(h.Finish(lease).ok());
  }
  ASSERT_TRUE(h.Finish(h.Poll(b)).ok());
  const Lease first = h.Poll(a);
  const Lease second = h.Poll(b);
  ASSERT_EQ(second.task_id, "job-2/quantize-2");

  ASSERT_TRUE(FailBecauseOf(second, {DigestOf("boundary after 2")}).ok());  // capture-1 made it
  const Lease capture = h.Poll(b);
  ASSERT_EQ(capture.task_id, "job-2/capture-1");
  ASSERT_TRUE(FailBecauseOf(capture, {DigestOf("boundary after 1")}).ok());  // of capture-0, lost too
  ASSERT_TRUE(FailBecauseOf(first, {DigestOf("boundary after 1")}).ok());    // by another reader; one repair is enough

  EXPECT_EQ(h.StateOf("job-2/capture-0"), TaskState::kReady);
  for (const char* task : {"job-2/capture-0", "job-2/capture-1", "job-2/quantize-1", "job-2/quantize-2"}) {
    const Lease lease = h.Poll(b);
    ASSERT_EQ(lease.task_id, task);
    ASSERT_TRUE(h.Finish(lease).ok());
  }
  EXPECT_EQ(h.StateOf("job-2/finalize-0"), TaskState::kReady);
}

TEST_F(RepairTest, AReaderThatLosesItsLeaseMeanwhileWaitsToo) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(FailBecauseOf(h.Poll(a), {kBoundary}).ok());
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease reader = h.Poll(a);
  ASSERT_EQ(reader.task_id, "job-1/quantize-1");

  ASSERT_TRUE(FailBecauseOf(reader, {kBoundary}).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kBlocked);
  EXPECT_EQ(FailBecauseOf(reader, {kBoundary})->outcome, Outcome::kRepeated);
}

TEST_F(RepairTest, ATaskThatIsGivenBackMeanwhileWaitsAndMayBeGivenBackAgain) {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  h.Submit(spec, 3, "job-2");
  for (int task = 0; task < 3; ++task) ASSERT_TRUE(h.Finish(h.Poll(a)).ok());  // job-1 is out of the way
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());                                       // capture-0
  const Lease capture = h.Poll(a);
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());  // quantize-0 needs no boundary
  const Lease quantize = h.Poll(a);
  ASSERT_EQ(quantize.task_id, "job-2/quantize-1");
  ASSERT_TRUE(FailBecauseOf(capture, {DigestOf("boundary after 1")}).ok());

  ASSERT_TRUE(h.Do(ReleaseTask{quantize}).ok());

  EXPECT_EQ(h.StateOf("job-2/quantize-1"), TaskState::kBlocked);
  EXPECT_EQ(h.Do(ReleaseTask{quantize})->outcome, Outcome::kRepeated);
}

TEST_F(RepairTest, AStoreThatKeepsNothingFailsTheJobAndSaysSo) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  for (int time = 0; time < 3; ++time) {
    ASSERT_TRUE(FailBecauseOf(h.Poll(a), {kBoundary}).ok());
    ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  }

  const Lease last = h.Poll(a);
  ASSERT_TRUE(FailBecauseOf(last, {kBoundary}).ok());

  EXPECT_EQ(FailBecauseOf(last, {kBoundary})->outcome, Outcome::kRepeated);
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailed);
  EXPECT_THAT(h.scheduler.FindJob("job-1")->status.failure->message,
              HasSubstr("the artifact store lost what it reads 4 times in a row"));
}

TEST_F(RepairTest, WhatTheTaskDoesNotReadIsNoExcuse) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease reader = h.Poll(a);

  ASSERT_TRUE(FailBecauseOf(reader, {Layer(0), DigestOf("never heard of")}).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kCommitted);
  EXPECT_EQ(h.TaskOf(reader.task_id).status.failures.transient, 1);
}

TEST_F(RepairTest, AnotherBoundaryThanBeforeIsRefused) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  ASSERT_TRUE(FailBecauseOf(h.Poll(a), {kBoundary}).ok());
  const Lease maker = h.Poll(a);

  const auto other = h.Do(CompleteTask{maker, {{}, QuantizeResult{DigestOf("another boundary")}}});

  EXPECT_EQ(ReasonOfError(other.status()), ErrorReason::kBoundaryConflict);
  EXPECT_TRUE(h.Finish(maker).ok());
}

TEST_F(RepairTest, ARepeatedCommitAfterTheLossIsNotHeld) {
  const Lease maker = h.Poll(a);
  ASSERT_TRUE(h.Finish(maker).ok());
  ASSERT_TRUE(FailBecauseOf(h.Poll(a), {kBoundary}).ok());

  const auto late = h.Do(CompleteTask{maker, h.ResultFor(h.TaskOf(maker.task_id).description)});

  EXPECT_EQ(ReasonOfError(late.status()), ErrorReason::kNotHeld);
}

TEST_F(RepairTest, ACancelledJobRepairsNothing) {
  ASSERT_TRUE(h.Finish(h.Poll(a)).ok());
  const Lease reader = h.Poll(a);
  ASSERT_TRUE(h.Do(CancelJob{"job-1"}).ok());

  ASSERT_TRUE(FailBecauseOf(reader, {kBoundary}).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kCancelled);
  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kCommitted);
}

}  // namespace
}  // namespace gptvq
