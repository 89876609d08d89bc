// Which tasks are audited, what their answers show, and what follows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/grant.h"
#include "server/scheduler/audit_choice.h"
#include "server/scheduler/audit_verdict.h"
#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string TaskId(int job, int task) { return "job-" + std::to_string(job) + "/quantize-" + std::to_string(task); }

AuditAnswer Answer(const std::string& worker, const std::string& bytes) {
  return {worker, {DigestOf("common"), DigestOf(bytes)}, DigestOf(bytes + " boundary")};
}

TEST(AuditChoice, NothingAtZeroEverythingAtOneAndAFractionInBetween) {
  int chosen = 0;
  for (int task = 0; task < 20'000; ++task) {
    const std::string id = TaskId(task % 100, task);
    EXPECT_FALSE(IsAudited(id, 0));
    EXPECT_TRUE(IsAudited(id, 1));
    chosen += IsAudited(id, 0.01);
    EXPECT_LE(IsAudited(id, 0.01), IsAudited(id, 0.3)) << id;
  }
  // Binomial(20 000, 0.01): 200 +- 14; five sigma.
  EXPECT_NEAR(chosen, 200, 70);
}

TEST(AuditVerdict, TwoEqualAnswersAgree) {
  const AuditVerdict verdict = JudgeAnswers({Answer("a", "x"), Answer("b", "x")});

  EXPECT_EQ(verdict.finding, AuditFinding::kAgreed);
  EXPECT_THAT(verdict.minority, IsEmpty());
}

TEST(AuditVerdict, AThirdWorkerDecidesBetweenTwo) {
  const AuditAnswer published = Answer("a", "x");

  EXPECT_EQ(JudgeAnswers({published, Answer("b", "y")}).finding, AuditFinding::kAskAnother);
  const AuditVerdict for_it = JudgeAnswers({published, Answer("b", "y"), Answer("c", "x")});
  EXPECT_EQ(for_it.finding, AuditFinding::kAgreed);
  EXPECT_THAT(for_it.minority, ElementsAre(1));
  const AuditVerdict against = JudgeAnswers({published, Answer("b", "y"), Answer("c", "y")});
  EXPECT_EQ(against.finding, AuditFinding::kPublishedWrong);
  EXPECT_THAT(against.minority, ElementsAre(0));
}

TEST(AuditVerdict, WhereNobodyAgreesNobodyIsBlamed) {
  const AuditVerdict verdict = JudgeAnswers({Answer("a", "x"), Answer("b", "y"), Answer("c", "z")});

  EXPECT_EQ(verdict.finding, AuditFinding::kUndecided);
  EXPECT_THAT(verdict.minority, IsEmpty());
}

TEST(AuditVerdict, AnotherBoundaryIsAnotherAnswer) {
  AuditAnswer other = Answer("b", "x");
  other.output_boundary = DigestOf("z");

  EXPECT_EQ(JudgeAnswers({Answer("a", "x"), other}).finding, AuditFinding::kAskAnother);
  EXPECT_EQ(CommonLayers(Answer("a", "x"), other), 2);
  EXPECT_EQ(CommonLayers(Answer("a", "x"), Answer("b", "y")), 1);
}

TEST(LayerAuthors, ArePartsFromALayerOnAndSeveralWhereACheckpointWasTakenOver) {
  std::vector<LayerAuthor> authors;
  NotePublication(authors, 0, "a");
  NotePublication(authors, 1, "a");
  NotePart(authors, 2, "a");  // a checkpoint
  NotePublication(authors, 2, "b");
  NotePart(authors, 3, "b");
  NotePublication(authors, 3, "b");
  NotePublication(authors, 4, "b");

  EXPECT_THAT(AuthorsOf(authors, 1), ElementsAre("a"));
  EXPECT_THAT(AuthorsOf(authors, 2), ElementsAre("a", "b"));
  EXPECT_THAT(AuthorsOf(authors, 4), ElementsAre("b"));
  EXPECT_EQ(authors.size(), 4);  // what says nothing new is not kept
  EXPECT_FALSE(HasPart(authors, "c"));
}

// A job of two shards of two layers, every task audited, and workers whose bytes a test chooses.
class AuditTest : public testing::Test {
 protected:
  explicit AuditTest(PropagationMode mode = PropagationMode::kSequential) {
    spec_.evaluation_uri.clear();
    spec_.propagation = mode;
    spec_.shard_layers = 2;
    h.Submit(spec_, 4, "job-1", 1);
  }

  // Does the work of a granted task from its first open layer on; `bytes` other than "" are wrong ones.
  absl::StatusOr<Decision> Compute(const Lease& lease, const std::string& bytes = "") {
    const auto found = h.scheduler.FindTask(lease.task_id);
    const TaskGrant grant = MakeGrant(*found->job, found->key.index, std::chrono::milliseconds(1), {});
    if (grant.kind == TaskKind::kQuantize) {
      for (int layer = grant.layers.begin + static_cast<int>(grant.published_layers.size()); layer < grant.layers.end;
           ++layer) {
        EXPECT_TRUE(Publish(lease, layer, bytes).ok());
      }
    }
    const Digest boundary = DigestOf("boundary after " + std::to_string(grant.layers.end) + bytes);
    TaskResult result = {{}, QuantizeResult{grant.output_boundary_wanted ? std::optional(boundary) : std::nullopt}};
    if (grant.kind == TaskKind::kCapture) result = {{}, CaptureResult{boundary}};
    if (grant.kind == TaskKind::kFinalize) result = {{}, FinalizeResult{1, DigestOf("manifest")}};
    last_ = CompleteTask{lease, result};
    return h.Do(last_);
  }

  absl::StatusOr<Decision> Publish(const Lease& lease, int layer, const std::string& bytes = "") {
    return h.Do(PublishLayer{lease, {layer, DigestOf("layer " + std::to_string(layer) + bytes), {}}});
  }

  AuditStatus AuditOf(const std::string& task_id) { return h.TaskOf(task_id).status.audit; }
  WorkerTrust TrustOf(const std::string& name) {
    return gptvq::TrustOf(h.scheduler.standings(), name, h.now.monotonic);
  }

  // These do whatever there is until the job ends.
  void FinishJob(const std::vector<WorkerKey>& workers) {
    for (int round = 0; round < 100 && !IsTerminal(h.JobStateOf("job-1")); ++round) {
      h.Advance(std::chrono::seconds(1));
      for (const WorkerKey& worker : workers) {
        const Lease lease = h.Poll(worker);
        if (lease.task_id.empty()) continue;
        ASSERT_TRUE(Compute(lease).ok());
      }
    }
  }

  JobSpec spec_ = AJobSpec();
  CompleteTask last_;
  SchedulerHarness h;
  const WorkerKey a = h.Register("a");
  const WorkerKey b = h.Register("b");
  const WorkerKey c = h.Register("c");
};

TEST_F(AuditTest, IsGrantedAsWhatItAuditsToAnotherWorkerAndEndsWhereBothAgree) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());

  const Lease next = h.Poll(a);  // the job goes on first
  EXPECT_EQ(next.task_id, "job-1/quantize-1");
  EXPECT_EQ(h.Poll(a).task_id, "");  // not its own audit
  const Lease audit = h.Poll(b);
  ASSERT_EQ(audit.task_id, "job-1/audit-0");
  const auto found = h.scheduler.FindTask(audit.task_id);
  const TaskGrant grant = MakeGrant(*found->job, found->key.index, std::chrono::milliseconds(1), {});
  EXPECT_EQ(grant.kind, TaskKind::kQuantize);
  EXPECT_THAT(grant.published_layers, IsEmpty());
  EXPECT_TRUE(grant.output_boundary_wanted);
  const auto decision = Compute(audit);

  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_THAT(decision->findings, ElementsAre(AuditOutcome::kAgreed));
  EXPECT_EQ(h.StateOf("job-1/audit-0"), TaskState::kCommitted);
  EXPECT_EQ(h.Do(last_)->outcome, Outcome::kRepeated);
}

TEST_F(AuditTest, NothingIsFinalizedBeforeItsAudits) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  EXPECT_EQ(h.Poll(a).task_id, "");
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kRunning);
  ASSERT_TRUE(Compute(h.Poll(b)).ok());
  ASSERT_TRUE(Compute(h.Poll(b)).ok());

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFinalizing);
  EXPECT_EQ(h.Poll(a).task_id, "job-1/finalize-0");
}

TEST_F(AuditTest, WhatTwoOthersContradictIsMadeAgainAndItsWorkerPutInQuarantine) {
  ASSERT_TRUE(Compute(h.Poll(a), " wrong").ok());
  ASSERT_TRUE(Compute(h.Poll(a), " wrong").ok());
  ASSERT_TRUE(Compute(h.Poll(b)).ok());
  EXPECT_EQ(h.StateOf("job-1/audit-0"), TaskState::kReady);  // a third decides
  ASSERT_TRUE(Compute(h.Poll(c)).ok());

  EXPECT_EQ(TrustOf("a"), WorkerTrust::kQuarantined);
  EXPECT_EQ(TrustOf("b"), WorkerTrust::kTrusted);
  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kReady);
  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kBlocked);  // also its work
  EXPECT_EQ(h.scheduler.FindJob("job-1")->status.published_layers, 0);
  FinishJob({b, c});
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->layers[3], DigestOf("layer 3"));
  EXPECT_EQ(AuditOf("job-1/audit-0").outcome, AuditOutcome::kOverturned);
}

TEST_F(AuditTest, AnAuditorThatIsWrongIsOutvotedAndNothingIsMadeAgain) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  ASSERT_TRUE(h.Poll(a).task_id == "job-1/quantize-1");
  ASSERT_TRUE(Compute(h.Poll(b), " wrong").ok());

  const auto decision = Compute(h.Poll(c));

  EXPECT_THAT(decision->findings, ElementsAre(AuditOutcome::kUpheld));
  EXPECT_EQ(TrustOf("b"), WorkerTrust::kQuarantined);
  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kCommitted);
}

TEST_F(AuditTest, WhoReadAWrongBoundaryWorksAgainOnceTheRightOneIsThere) {
  ASSERT_TRUE(Compute(h.Poll(a), " wrong").ok());
  const Lease reader = h.Poll(b);  // of the wrong boundary
  ASSERT_EQ(reader.task_id, "job-1/quantize-1");
  ASSERT_TRUE(Publish(reader, 2).ok());
  const WorkerKey d = h.Register("d");
  ASSERT_TRUE(Compute(h.Poll(c)).ok());
  ASSERT_TRUE(Compute(h.Poll(d)).ok());
  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kLeased);  // until the new digest is known

  ASSERT_TRUE(Compute(h.Poll(c)).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kReady);
  EXPECT_EQ(h.scheduler.FindJob("job-1")->layers[2], Digest());
  EXPECT_EQ(ReasonOfError(Publish(reader, 3).status()), ErrorReason::kNotHeld);
  FinishJob({b, c, d});
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
}

TEST_F(AuditTest, WhereTheBoundaryComesOutTheSameItsReadersStay) {
  const Lease first = h.Poll(a);
  ASSERT_TRUE(Publish(first, 0).ok());
  ASSERT_TRUE(Publish(first, 1, " wrong").ok());  // its boundary is right all the same
  ASSERT_TRUE(h.Do(CompleteTask{first, {{}, QuantizeResult{DigestOf("boundary after 2")}}}).ok());
  ASSERT_TRUE(Compute(h.Poll(b)).ok());  // quantize-1
  ASSERT_TRUE(Compute(h.Poll(b)).ok());  // audit-0
  ASSERT_TRUE(Compute(h.Poll(c)).ok());
  EXPECT_EQ(h.scheduler.FindJob("job-1")->layers[0], DigestOf("layer 0"));  // before the first difference
  EXPECT_EQ(h.scheduler.FindJob("job-1")->layers[1], Digest());

  const Lease again = h.Poll(b);
  ASSERT_EQ(again.task_id, "job-1/quantize-0");
  ASSERT_TRUE(Compute(again).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-1"), TaskState::kCommitted);
  EXPECT_EQ(h.StateOf("job-1/audit-0"), TaskState::kCommitted);  // the answers agree with what came
}

TEST_F(AuditTest, ThreeDifferentAnswersFailTheJobAndBlameNobody) {
  ASSERT_TRUE(Compute(h.Poll(a), " one").ok());
  h.Poll(a);
  ASSERT_TRUE(Compute(h.Poll(b), " two").ok());

  const auto decision = Compute(h.Poll(c), " three");

  EXPECT_THAT(decision->findings, ElementsAre(AuditOutcome::kUndecided));
  h.Do(ReleaseTask{{"job-1/quantize-1", 1, a.name, a.incarnation, ""}}).IgnoreError();
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kFailed);
  EXPECT_THAT(h.scheduler.FindJob("job-1")->status.failure->message,
              AllOf(HasSubstr("NONDETERMINISM"), HasSubstr("a, b, c")));
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(TrustOf(name), WorkerTrust::kTrusted);
}

TEST_F(AuditTest, WhatSeveralHadAPartInIsNobodysFault) {
  const Lease first = h.Poll(a);
  ASSERT_TRUE(h.Do(CheckpointTask{first, {0, 1, DigestOf("checkpoint"), {ALinearReport("q")}}}).ok());
  ASSERT_TRUE(h.Do(ReleaseTask{first}).ok());
  ASSERT_TRUE(Compute(h.Poll(b), " wrong").ok());
  const WorkerKey d = h.Register("d");
  EXPECT_EQ(h.Poll(a).task_id, "job-1/quantize-1");
  EXPECT_EQ(h.Poll(a).task_id, "");
  ASSERT_TRUE(Compute(h.Poll(c)).ok());
  ASSERT_TRUE(Compute(h.Poll(d)).ok());

  EXPECT_EQ(h.StateOf("job-1/quantize-0"), TaskState::kReady);
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_EQ(TrustOf(name), WorkerTrust::kTrusted);
}

TEST_F(AuditTest, OfSeveralInTurnTheAuthorOfTheFirstWrongLayerIsConvicted) {
  const Lease first = h.Poll(a);
  ASSERT_TRUE(Publish(first, 0).ok());
  ASSERT_TRUE(h.Do(ReleaseTask{first}).ok());
  ASSERT_TRUE(Compute(h.Poll(b), " wrong").ok());
  const WorkerKey d = h.Register("d");
  EXPECT_EQ(h.Poll(a).task_id, "job-1/quantize-1");
  ASSERT_TRUE(Compute(h.Poll(c)).ok());
  ASSERT_TRUE(Compute(h.Poll(d)).ok());

  EXPECT_EQ(h.scheduler.FindJob("job-1")->layers[0], DigestOf("layer 0"));
  EXPECT_EQ(TrustOf("a"), WorkerTrust::kTrusted);
  EXPECT_EQ(TrustOf("b"), WorkerTrust::kQuarantined);
}

TEST_F(AuditTest, OneThatFailsIsGivenUpAndTheJobGoesOn) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  const Lease audit = h.Poll(b, "poll");
  ASSERT_EQ(audit.task_id, "job-1/quantize-1");
  ASSERT_TRUE(Compute(audit).ok());
  const Lease one = h.Poll(c);
  ASSERT_EQ(one.task_id, "job-1/audit-0");

  const auto decision = h.Do(FailTask{one, {FailureClass::kFatal, "no", "c"}});

  EXPECT_THAT(decision->findings, ElementsAre(AuditOutcome::kGivenUp));
  FinishJob({a, b, c});
  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
  EXPECT_EQ(AuditOf("job-1/audit-0").outcome, AuditOutcome::kGivenUp);
}

TEST_F(AuditTest, AnAnswerIsOfOneWorkerAlone) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  h.Poll(a);
  const Lease audit = h.Poll(b);
  ASSERT_TRUE(Publish(audit, 0, " wrong").ok());
  EXPECT_EQ(Publish(audit, 0, " wrong")->outcome, Outcome::kRepeated);
  EXPECT_EQ(ReasonOfError(Publish(audit, 0).status()), ErrorReason::kLayerConflict);
  ASSERT_TRUE(h.Do(CheckpointTask{audit, {1, 1, DigestOf("checkpoint"), {ALinearReport("q")}}}).ok());
  ASSERT_TRUE(h.Do(ReleaseTask{audit}).ok());

  const auto decision = Compute(h.Poll(c));

  EXPECT_THAT(decision->findings, ElementsAre(AuditOutcome::kAgreed));
}

TEST_F(AuditTest, IsSkippedWhereNobodyElseIsThere) {
  SchedulerHarness alone;
  const WorkerKey only = alone.Register("only");
  alone.Submit(spec_, 4, "job-1", 1);
  ASSERT_TRUE(alone.Finish(alone.Poll(only)).ok());
  ASSERT_TRUE(alone.Finish(alone.Poll(only)).ok());
  EXPECT_EQ(alone.Poll(only).task_id, "");

  alone.Advance(alone.scheduler.options().audit_patience - std::chrono::milliseconds(1));
  EXPECT_EQ(alone.StateOf("job-1/audit-0"), TaskState::kReady);
  alone.Advance(std::chrono::milliseconds(1));

  EXPECT_EQ(alone.TaskOf("job-1/audit-0").status.audit.outcome, AuditOutcome::kSkipped);
  EXPECT_THAT(alone.TaskOf("job-1/audit-0").status.last_failure->message, HasSubstr("no other worker of class cpu"));
  EXPECT_EQ(alone.Poll(only).task_id, "job-1/finalize-0");
}

TEST_F(AuditTest, IsNotSkippedBecauseTheCoordinatorItselfDidNotListen) {
  ASSERT_TRUE(Compute(h.Poll(a)).ok());
  h.now.monotonic += std::chrono::minutes(5);
  ASSERT_TRUE(h.Do(ForgiveSilence{}).ok());
  h.Advance(std::chrono::milliseconds(1));

  EXPECT_EQ(h.StateOf("job-1/audit-0"), TaskState::kReady);
}

TEST_F(AuditTest, TwoThatDifferWithoutAThirdFailTheJobInTheEnd) {
  SchedulerHarness two;
  const WorkerKey first = two.Register("first"), second = two.Register("second");
  two.Submit(spec_, 2, "job-1", 1);
  ASSERT_TRUE(two.Finish(two.Poll(first)).ok());
  const Lease audit = two.Poll(second);
  for (int layer : {0, 1}) {
    ASSERT_TRUE(two.Do(PublishLayer{audit, {layer, DigestOf("other " + std::to_string(layer)), {}}}).ok());
  }
  ASSERT_TRUE(two.Do(CompleteTask{audit, {{}, QuantizeResult{}}}).ok());
  EXPECT_EQ(two.Poll(first).task_id, "");
  EXPECT_EQ(two.Poll(second).task_id, "");

  two.Advance(two.scheduler.options().dispute_patience);

  EXPECT_EQ(two.JobStateOf("job-1"), JobState::kFailed);
  EXPECT_THAT(two.scheduler.FindJob("job-1")->status.failure->message, HasSubstr("first, second"));
}

TEST_F(AuditTest, WhatAConvictMadeOfOtherJobsIsMadeAgainBeforeAnythingIsFinalized) {
  h.Submit(spec_, 2, "job-2", 1e-9);
  ASSERT_TRUE(Compute(h.Poll(a), " wrong").ok());
  const Lease reader = h.Poll(b);
  const Lease of_other = h.Poll(a);
  ASSERT_EQ(of_other.task_id, "job-2/quantize-0");
  ASSERT_TRUE(Compute(of_other).ok());
  ASSERT_TRUE(h.Do(ReleaseTask{reader}).ok());
  const WorkerKey d = h.Register("d");
  const Lease held = h.Poll(d);
  ASSERT_EQ(held.task_id, "job-1/quantize-1");
  ASSERT_TRUE(Compute(h.Poll(b)).ok());
  const Lease third = h.Poll(c);
  ASSERT_EQ(third.task_id, "job-1/audit-0");
  ASSERT_TRUE(Compute(third).ok());
  ASSERT_TRUE(h.scheduler.standings().at("a").record.distrusted);
  ASSERT_EQ(h.StateOf("job-2/finalize-0"), TaskState::kReady);
  EXPECT_EQ(h.Poll(b).task_id, "job-1/quantize-0");
  EXPECT_EQ(h.Poll(c).task_id, "");

  h.Advance(std::chrono::milliseconds(1));

  EXPECT_EQ(h.StateOf("job-2/quantize-0"), TaskState::kReady);
  EXPECT_FALSE(h.scheduler.standings().at("a").record.distrusted);
}

class ParallelAuditTest : public AuditTest {
 protected:
  ParallelAuditTest() : AuditTest(PropagationMode::kParallel) {}
};

TEST_F(ParallelAuditTest, AWrongCaptureIsMadeAgainAndEverythingBehindIt) {
  ASSERT_TRUE(Compute(h.Poll(a), " wrong").ok());  // capture-0
  ASSERT_TRUE(Compute(h.Poll(b)).ok());            // quantize-0
  ASSERT_TRUE(Compute(h.Poll(b)).ok());            // quantize-1, of the wrong boundary
  const Lease audit = h.Poll(b);
  ASSERT_EQ(audit.task_id, "job-1/audit-0");
  ASSERT_TRUE(Compute(audit).ok());
  const Lease verifying = h.Poll(a);
  EXPECT_EQ(verifying.task_id, "job-1/audit-1");
  ASSERT_TRUE(Compute(h.Poll(c)).ok());  // audit-0 once more
  EXPECT_EQ(TrustOf("a"), WorkerTrust::kQuarantined);

  FinishJob({b, c});

  EXPECT_EQ(h.JobStateOf("job-1"), JobState::kSucceeded);
  EXPECT_EQ(h.TaskOf("job-1/quantize-1").status.audit.overturned, 1);
  EXPECT_EQ(h.TaskOf("job-1/quantize-0").status.audit.overturned, 0);
}

}  // namespace
}  // namespace gptvq
