// What a holder keeps of the layer that it works on (docs/protocol.md, "Checkpoints").
#include <gtest/gtest.h>

#include <string>

#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

JobSpec QuantizeOnly() {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  return spec;
}

TaskCheckpoint ACheckpoint(int layer, std::int64_t sequence, int linears) {
  const std::string text = "layer " + std::to_string(layer) + ", linears " + std::to_string(linears);
  return {layer, sequence, DigestOf(text), std::vector<LinearReport>(linears, ALinearReport("q"))};
}

// One job of two layers in one shard, and a worker that holds it.
class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    h_.Submit(QuantizeOnly(), 2);
    lease_ = h_.Poll(h_.Register("a"));
  }

  absl::StatusOr<Decision> Keep(const TaskCheckpoint& checkpoint) { return h_.Do(CheckpointTask{lease_, checkpoint}); }
  absl::StatusOr<Decision> Fail() {
    return h_.Do(FailTask{lease_, {FailureClass::kTransient, "read timed out", lease_.worker_name}});
  }
  absl::StatusOr<Decision> FailBecauseOfLost(int layer) {
    return h_.Do(FailTask{
        lease_, {FailureClass::kTransient, "gone", lease_.worker_name}, {DigestOf("layer " + std::to_string(layer))}});
  }
  // Until the task is granted again.
  void PollAgain(const std::string& worker) {
    h_.Advance(std::chrono::minutes(2));
    lease_ = h_.Poll(h_.Register(worker));
    ASSERT_FALSE(lease_.task_id.empty());
  }
  const TaskStatus& status() { return h_.TaskOf(lease_.task_id).status; }

  SchedulerHarness h_;
  Lease lease_;
};

TEST_F(CheckpointTest, IsThereForTheNextHolderHoweverTheLeaseEnds) {
  const TaskCheckpoint kept = ACheckpoint(0, 1, 3);
  ASSERT_TRUE(Keep(kept).ok());

  ASSERT_TRUE(h_.Do(ReleaseTask{lease_}).ok());
  PollAgain("a");
  EXPECT_EQ(status().checkpoint, kept);
  ASSERT_TRUE(Fail().ok());
  PollAgain("b");
  EXPECT_EQ(status().checkpoint, kept);
  PollAgain("c");  // b was silent
  EXPECT_EQ(status().checkpoint, kept);
}

TEST_F(CheckpointTest, IsRepeatedHarmlesslyAndReplacedByAGreaterSequenceAlone) {
  ASSERT_TRUE(Keep(ACheckpoint(0, 2, 3)).ok());

  const auto again = Keep(ACheckpoint(0, 2, 3));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_TRUE(again->transition.empty());
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 1, 2)).status()), ErrorReason::kCheckpointOutdated);
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 2, 4)).status()), ErrorReason::kCheckpointOutdated);
  EXPECT_EQ(status().checkpoint, ACheckpoint(0, 2, 3));
  ASSERT_TRUE(Keep(ACheckpoint(0, 3, 4)).ok());
  EXPECT_EQ(status().checkpoint, ACheckpoint(0, 3, 4));
}

TEST_F(CheckpointTest, IsOfTheFirstLayerThatIsNotPublished) {
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(1, 1, 1)).status()), ErrorReason::kLayerOutOfOrder);
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(2, 1, 1)).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(-1, 1, 1)).status()), ErrorReason::kInvalidField);
  ASSERT_TRUE(Keep(ACheckpoint(0, 1, 1)).ok());
  ASSERT_TRUE(h_.Publish(lease_, 0).ok());

  EXPECT_EQ(status().checkpoint, std::nullopt);
  EXPECT_EQ(status().most_linears, 0);
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 2, 2)).status()), ErrorReason::kCheckpointOutdated);
  EXPECT_TRUE(Keep(ACheckpoint(1, 1, 1)).ok()) << "sequences are counted by layer";
}

TEST_F(CheckpointTest, IsOfTheHolderUnderItsEpoch) {
  const Lease zombie = lease_;
  PollAgain("b");

  EXPECT_EQ(ReasonOfError(h_.Do(CheckpointTask{zombie, ACheckpoint(0, 1, 1)}).status()), ErrorReason::kStaleEpoch);
  ASSERT_TRUE(h_.Do(ReleaseTask{lease_}).ok());
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 1, 1)).status()), ErrorReason::kNotHeld);
  EXPECT_EQ(status().checkpoint, std::nullopt);
}

TEST_F(CheckpointTest, GoesWithItsJob) {
  ASSERT_TRUE(Keep(ACheckpoint(0, 1, 1)).ok());
  ASSERT_TRUE(h_.Do(CancelJob{"job-1"}).ok());
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 2, 2)).status()), ErrorReason::kJobCancelled);

  ASSERT_TRUE(h_.Do(ReleaseTask{lease_}).ok());

  EXPECT_EQ(status().state, TaskState::kCancelled);
  EXPECT_EQ(status().checkpoint, std::nullopt);
}

TEST_F(CheckpointTest, IsASignOfLifeAndOfProgress) {
  for (int minute = 0; minute < 30; ++minute) {
    h_.Advance(std::chrono::seconds(29));
    ASSERT_TRUE(Keep(ACheckpoint(0, minute + 1, 1)).ok()) << minute;
  }
  EXPECT_EQ(status().state, TaskState::kLeased);
  EXPECT_EQ(status().attempt, 1);
}

TEST_F(CheckpointTest, OfMoreLinearsThanBeforeEndsARowOfFailures) {
  for (int attempt = 1; attempt <= 6; ++attempt) {  // more than the budget of a row
    ASSERT_TRUE(Keep(ACheckpoint(0, attempt, attempt)).ok());
    EXPECT_EQ(status().failures, FailureCounts());
    ASSERT_TRUE(Fail().ok());
    ASSERT_EQ(status().state, TaskState::kReady) << attempt;
    PollAgain(attempt % 2 == 0 ? "a" : "b");
  }
}

TEST_F(CheckpointTest, OfWhatWasLostAndComputedAgainEndsNone) {
  ASSERT_TRUE(Keep(ACheckpoint(0, 1, 2)).ok());
  for (int attempt = 1; attempt <= 4; ++attempt) {
    ASSERT_TRUE(Fail().ok());
    PollAgain(attempt % 2 == 0 ? "a" : "b");
    ASSERT_TRUE(Keep(ACheckpoint(0, 2 * attempt, 1)).ok());
    ASSERT_TRUE(Keep(ACheckpoint(0, 2 * attempt + 1, 2)).ok());
  }
  EXPECT_EQ(status().failures.transient, 4);

  ASSERT_TRUE(Fail().ok());

  EXPECT_EQ(status().state, TaskState::kFailed);
}

TEST_F(CheckpointTest, ThreeWorkersThatFailAlikeWithProgressInBetweenAreNoPoison) {
  for (const char* worker : {"b", "c", "d"}) {
    ASSERT_TRUE(Keep(ACheckpoint(0, status().attempt, status().attempt)).ok());
    ASSERT_TRUE(Fail().ok());
    ASSERT_EQ(status().state, TaskState::kReady);
    PollAgain(worker);
  }
  ASSERT_TRUE(Fail().ok());
  EXPECT_EQ(status().state, TaskState::kReady);
}

TEST_F(CheckpointTest, OfAnEarlierLayerThatWasLostTakesItsPlaceAndIsNoProgress) {
  ASSERT_TRUE(h_.Publish(lease_, 0).ok());
  ASSERT_TRUE(Keep(ACheckpoint(1, 1, 3)).ok());
  ASSERT_TRUE(Fail().ok());
  PollAgain("b");
  ASSERT_TRUE(FailBecauseOfLost(0).ok());
  EXPECT_EQ(status().checkpoint, std::nullopt);
  PollAgain("b");

  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(1, 2, 4)).status()), ErrorReason::kLayerOutOfOrder);
  ASSERT_TRUE(Keep(ACheckpoint(0, 1, 5)).ok());
  EXPECT_EQ(status().checkpoint, ACheckpoint(0, 1, 5));
  EXPECT_EQ(status().failures.transient, 1);
  ASSERT_TRUE(h_.Publish(lease_, 0).ok());
  EXPECT_EQ(status().checkpoint, std::nullopt);
  EXPECT_EQ(ReasonOfError(Keep(ACheckpoint(0, 2, 6)).status()), ErrorReason::kCheckpointOutdated);
  ASSERT_TRUE(Keep(ACheckpoint(1, 1, 3)).ok());
  EXPECT_EQ(status().failures.transient, 1) << "it had three linears of layer 1 before";
  ASSERT_TRUE(Keep(ACheckpoint(1, 2, 4)).ok());
  EXPECT_EQ(status().failures, FailureCounts());
}

TEST_F(CheckpointTest, StaysWhenALaterLayerIsLost) {
  ASSERT_TRUE(h_.Publish(lease_, 0).ok());
  ASSERT_TRUE(h_.Publish(lease_, 1).ok());
  ASSERT_TRUE(FailBecauseOfLost(0).ok());
  PollAgain("a");
  ASSERT_TRUE(Keep(ACheckpoint(0, 1, 2)).ok());

  ASSERT_TRUE(FailBecauseOfLost(1).ok());

  PollAgain("a");
  EXPECT_EQ(status().checkpoint, ACheckpoint(0, 1, 2));
}

TEST(Checkpoint, IsForQuantizeTasksOnly) {
  SchedulerHarness h;
  JobSpec spec = QuantizeOnly();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  h.Submit(spec, 2);
  const Lease capture = h.Poll(h.Register("a"));

  ASSERT_EQ(capture.task_id, "job-1/capture-0");
  EXPECT_EQ(ReasonOfError(h.Do(CheckpointTask{capture, ACheckpoint(0, 1, 1)}).status()), ErrorReason::kInvalidField);
}

}  // namespace
}  // namespace gptvq
