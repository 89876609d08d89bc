// What a journal takes as one step, and what it refuses with everything that came along.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/platform/job_store/job_store_conformance.h"

namespace gptvq {
namespace {

TEST_P(JobStoreConformance, StepsThatComeTogetherAreStoredInOrderEachOverTheOneBefore) {
  std::vector<Transition> steps;
  const auto decide = [&](const Event& event) {
    const auto decision = harness_.scheduler.Decide(event, harness_.now);
    ASSERT_TRUE(decision.ok()) << decision.status();
    harness_.scheduler.Apply(*decision);
    if (!decision->transition.empty()) steps.push_back(decision->transition);
  };
  decide(Submission("job-1"));
  decide(Submission("job-2"));
  decide(RegisterWorker{{"a", "inc-a"}, "cpu", "1", {}});
  decide(PollTask{{"a", "inc-a"}, "p1"});
  const Lease lease = {"job-1/quantize-0", 1, "a", "inc-a", ""};
  decide(PublishLayer{lease, {0, DigestOf("layer 0"), {}}});
  decide(FailTask{lease, {FailureClass::kTransient, "read timed out", "a"}});
  decide(CancelJob{"job-2"});
  std::vector<const Transition*> together;
  for (const Transition& step : steps) together.push_back(&step);

  const absl::Status appended = store_->AppendAll(together);

  ASSERT_TRUE(appended.ok()) << appended;
  ExpectEqual(*store_->ReadJob("job-1"), *harness_.scheduler.FindJob("job-1"));
  ExpectEqual(*store_->ReadJob("job-2"), *harness_.scheduler.FindJob("job-2"));
  EXPECT_EQ(store_->ReadLayers("job-1")->size(), 1u);
  EXPECT_EQ(store_->ReadEvents("job-1", 0, 1000)->size(),
            static_cast<std::size_t>(harness_.scheduler.FindJob("job-1")->status.last_event_seq));
}

TEST_P(JobStoreConformance, OfStepsThatComeTogetherNothingIsStoredWhenOneIsRefused) {
  RunABit("job-1");
  const JobSnapshot before = *store_->ReadJob("job-1");
  const auto creation = harness_.scheduler.Decide(Submission("job-2"), harness_.now);
  const auto end = harness_.scheduler.Decide(CancelJob{"job-1"}, harness_.now);

  const std::vector<const Transition*> together = {&creation->transition, &end->transition, &last_transition_};
  EXPECT_EQ(store_->AppendAll(together).code(), absl::StatusCode::kAborted);

  ExpectEqual(*store_->ReadJob("job-1"), before);
  EXPECT_EQ(store_->ReadJob("job-2").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_->FindRequest("r-job-2"), std::nullopt);
  EXPECT_EQ(store_->LoadActive()->last_sequence, 1);
}

TEST_P(JobStoreConformance, AnOutdatedWriterIsRefusedAndChangesNothing) {
  RunABit("job-1");
  const JobSnapshot before = *store_->ReadJob("job-1");

  EXPECT_EQ(store_->Append(last_transition_).code(), absl::StatusCode::kAborted);  // the same once more
  Transition half_outdated = last_transition_;  // the job row fits, a task row does not
  half_outdated.job->revision = before.status.revision + 1;
  EXPECT_EQ(store_->Append(half_outdated).code(), absl::StatusCode::kAborted);

  ExpectEqual(*store_->ReadJob("job-1"), before);
  EXPECT_EQ(store_->ReadEvents("job-1", 0, 1000)->size(), static_cast<std::size_t>(before.status.last_event_seq));
}

TEST_P(JobStoreConformance, AJobOrRequestThatExistsIsRefused) {
  const Decision decision = Do(Submission("job-1"));
  Transition same_request = decision.transition;
  same_request.job_id = "job-2";
  same_request.created->description.job_id = "job-2";
  same_request.created->description.sequence = 2;

  EXPECT_EQ(store_->Append(decision.transition).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->Append(same_request).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->ListJobs({})->size(), 1u);
}

TEST_P(JobStoreConformance, AChangeOfAnUnknownJobIsRefused) {
  Transition transition;
  transition.job_id = "job-9";
  transition.job = JobStatus();

  EXPECT_EQ(store_->Append(transition).code(), absl::StatusCode::kNotFound);
}

TEST_P(JobStoreConformance, AStepOfAnArtifactThatIsNotInTheStateBeforeItIsRefusedWithEverythingElse) {
  const DoomedArtifact row = {DigestOf("a"), ArtifactKind::kLayer, DoomState::kDoomed, WallTime()};
  const DoomedArtifact other = {DigestOf("b"), ArtifactKind::kLayer, DoomState::kDoomed, WallTime()};
  const auto append = [&](std::vector<DoomChange> changes) {
    Transition transition;
    transition.artifacts = std::move(changes);
    return store_->Append(transition).code();
  };
  using Code = absl::StatusCode;

  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kSpare, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kBeginDelete, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kForget, row}}), Code::kAborted);
  ASSERT_EQ(append({{DoomStep::kDoom, row}}), Code::kOk);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kDoom, row}}), Code::kAlreadyExists);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kForget, row}}), Code::kAborted);
  ASSERT_EQ(append({{DoomStep::kBeginDelete, row}}), Code::kOk);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kSpare, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kBeginDelete, row}}), Code::kAborted);
  EXPECT_EQ(store_->LoadActive()->doomed_artifacts.size(), 1u);
}

}  // namespace
}  // namespace gptvq
