// What PipelineExecutor makes of work that was done before: layers, checkpoints, and what the store lost of either.

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/tiny_job.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST(PipelineExecutor, InterruptedAndResumedTaskGivesTheSameResultOnAnyNumberOfThreads) {
  TinyJob one_go(1);
  std::vector<PublishedLayer> one_go_layers;
  const Digest one_go_boundary = one_go.Quantize({0, 4}, std::nullopt, &one_go_layers);

  TinyJob resumed(2);
  TaskGrant grant = resumed.Grant(TaskKind::kQuantize, {0, 4});
  grant.output_boundary_wanted = true;
  RecordingSession first_attempt = resumed.NewSession();
  first_attempt.stop_after_layers = 2;
  EXPECT_EQ(resumed.Run(grant, first_attempt).status().code(), absl::StatusCode::kCancelled);
  grant.published_layers = first_attempt.layers;
  RecordingSession second_attempt = resumed.NewSession();
  const auto result = resumed.Run(grant, second_attempt);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(first_attempt.layers, SizeIs(2));
  EXPECT_THAT(second_attempt.layers, SizeIs(2));
  EXPECT_THAT(second_attempt.steps, Contains("replay"));
  EXPECT_EQ(std::get<QuantizeResult>(result->outcome).output_boundary, one_go_boundary);
  std::vector<PublishedLayer> layers = first_attempt.layers;
  layers.insert(layers.end(), second_attempt.layers.begin(), second_attempt.layers.end());
  EXPECT_EQ(DigestsOf(layers), DigestsOf(one_go_layers));
  EXPECT_EQ(ManifestOf(resumed.Finalize(layers)), ManifestOf(one_go.Finalize(one_go_layers)));
}

// What is kept of layer 0 before its fourth linear begins. The first linear is always kept: nothing else is on its way.
TaskCheckpoint KeptBeforeTheFourthLinear(TinyJob& job, const TaskGrant& grant) {
  RecordingSession session = job.NewSession();
  session.stop_at_step = "model.layers.0.self_attn.o_proj";
  job.checkpoint_every = std::chrono::milliseconds(0);
  EXPECT_EQ(job.Run(grant, session).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(session.checkpoints.empty());
  return session.checkpoints.empty() ? TaskCheckpoint() : session.checkpoints.back();
}

TEST(PipelineExecutor, AnAttemptThatWasKilledInsideALayerIsResumedThere) {
  TinyJob one_go;
  std::vector<PublishedLayer> one_go_layers;
  const Digest boundary = one_go.Quantize({0, 4}, std::nullopt, &one_go_layers);
  TinyJob resumed(2);
  TaskGrant grant = resumed.Grant(TaskKind::kQuantize, {0, 4});
  grant.output_boundary_wanted = true;
  grant.checkpoint = KeptBeforeTheFourthLinear(resumed, grant);
  const auto kept = static_cast<int>(grant.checkpoint->linears.size());

  RecordingSession session = resumed.NewSession();
  const auto result = resumed.Run(grant, session);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(session.steps, Not(Contains("model.layers.0.self_attn.q_proj")));
  EXPECT_EQ(DigestsOf(session.layers), DigestsOf(one_go_layers));
  EXPECT_EQ(std::get<QuantizeResult>(result->outcome).output_boundary, boundary);
  EXPECT_EQ(session.layers[0].linears.front(), grant.checkpoint->linears.front()) << "its report travels with it";
  EXPECT_THAT(resumed.metrics_text(), HasSubstr("gptvq_worker_checkpoints_total{result=\"used\"} 1\n"));
  EXPECT_THAT(resumed.metrics_text(), HasSubstr("gptvq_worker_resumed_linears_total " + std::to_string(kept) + "\n"));
  for (const TaskCheckpoint& checkpoint : session.checkpoints) {
    if (checkpoint.layer == 0) {
      EXPECT_GT(checkpoint.sequence, grant.checkpoint->sequence);
    }
  }
}

TEST(PipelineExecutor, ACheckpointThatCannotBeUsedIsComputedAgain) {
  TinyJob job;
  std::vector<PublishedLayer> expected;
  job.Quantize({0, 4}, std::nullopt, &expected);
  TaskGrant grant = job.Grant(TaskKind::kQuantize, {0, 4});
  const TaskCheckpoint kept = KeptBeforeTheFourthLinear(job, grant);
  const std::string path = job.directory().Join("store/" + ArtifactStore::KeyOf(kept.artifact));
  job.checkpoint_every.reset();
  std::vector<TaskCheckpoint> unusable(3, kept);
  unusable[0].artifact = Digest::Of(AsBytes("lost"));
  unusable[1].linears.back().name = "another";

  for (const TaskCheckpoint& checkpoint : unusable) {
    if (&checkpoint == &unusable[2]) {  // one bit of a code: a valid artifact still
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(-1, std::ios::end);
      const char last = static_cast<char>(file.get() ^ 1);
      file.seekp(-1, std::ios::end);
      file.put(last);
    }
    grant.checkpoint = checkpoint;
    RecordingSession session = job.NewSession();
    const auto result = job.Run(grant, session);

    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(DigestsOf(session.layers), DigestsOf(expected));
    EXPECT_THAT(session.steps, Contains("model.layers.0.self_attn.q_proj"));
  }
  EXPECT_THAT(job.metrics_text(), HasSubstr("gptvq_worker_checkpoints_total{result=\"unusable\"} 3\n"));
}

TEST(PipelineExecutor, ACheckpointThatIsRefusedEndsNothing) {
  TinyJob job;
  job.checkpoint_every = std::chrono::milliseconds(0);
  RecordingSession session = job.NewSession();
  session.checkpoint_answer = absl::FailedPreconditionError("refused by the test");

  const auto result = job.Run(job.Grant(TaskKind::kQuantize, {0, 2}), session);

  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(session.checkpoints.empty());
  EXPECT_THAT(job.metrics_text(), HasSubstr("gptvq_worker_checkpoints_total{result=\"kept\"} 0\n"));
}

TEST(PipelineExecutor, KeepsNoCheckpointSoonAfterDurableProgress) {
  TinyJob job;
  job.checkpoint_every = std::chrono::hours(1);
  RecordingSession session = job.NewSession();

  EXPECT_TRUE(job.Run(job.Grant(TaskKind::kQuantize, {0, 2}), session).ok());

  EXPECT_THAT(session.checkpoints, IsEmpty());
}

TEST(PipelineExecutor, ShardThatIsPublishedAlreadyNeedsNoComputing) {
  TinyJob job;
  TaskGrant grant = job.Grant(TaskKind::kQuantize, {0, 2});
  grant.published_layers = std::vector<PublishedLayer>(2);
  RecordingSession session = job.NewSession();

  const auto result = job.Run(grant, session);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(session.steps, IsEmpty());
}

TEST(PipelineExecutor, DamagedLayerIsNotBuiltIntoAResult) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  const std::string path = job.directory().Join("store/" + ArtifactStore::KeyOf(layers[1].artifact));
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(500).put('\x7f');

  const absl::Status damaged = job.Finalize(layers).status();

  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(LostArtifactsOf(damaged), ElementsAre(layers[1].artifact));
  EXPECT_FALSE(std::filesystem::exists(job.directory().Join("output")));
}

TEST(PipelineExecutor, EveryLostLayerIsNamedAtOnce) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  std::filesystem::remove(job.directory().Join("store/" + ArtifactStore::KeyOf(layers[0].artifact)));
  std::filesystem::resize_file(job.directory().Join("store/" + ArtifactStore::KeyOf(layers[3].artifact)), 100);

  const absl::Status lost = job.Finalize(layers).status();

  EXPECT_EQ(FailureClassOf(lost), FailureClass::kTransient);
  EXPECT_THAT(LostArtifactsOf(lost), ElementsAre(layers[0].artifact, layers[3].artifact));
}

TEST(PipelineExecutor, ALayerThatIsMissingBetweenOthersIsComputedAgainToTheSameBytes) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  const Digest boundary = job.Quantize({0, 4}, std::nullopt, &layers);
  TaskGrant grant = job.Grant(TaskKind::kQuantize, {0, 4});
  grant.output_boundary_wanted = true;
  grant.published_layers = layers;
  grant.published_layers.erase(grant.published_layers.begin() + 1);
  std::filesystem::remove(job.directory().Join("store/" + ArtifactStore::KeyOf(layers[1].artifact)));
  RecordingSession session = job.NewSession();

  const auto result = job.Run(grant, session);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(DigestsOf(session.layers), ElementsAre(layers[1].artifact));
  EXPECT_EQ(std::get<QuantizeResult>(result->outcome).output_boundary, boundary);
}

}  // namespace
}  // namespace gptvq
