#include "worker/pipeline_executor.h"

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/tiny_job.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST(PipelineExecutor, RunsEveryTaskOfAJob) {
  TinyJob job;
  std::vector<PublishedLayer> layers;

  job.Quantize({0, 4}, std::nullopt, &layers);
  const auto finalized = job.Finalize(layers);
  const auto source = job.Evaluate(EvaluationTarget::kSource);
  const auto quantized = job.Evaluate(EvaluationTarget::kQuantized);

  ASSERT_THAT(layers, SizeIs(4));
  EXPECT_THAT(layers[3].linears, SizeIs(7));
  ASSERT_TRUE(finalized.ok()) << finalized.status();
  EXPECT_TRUE(std::filesystem::exists(job.directory().Join("output/gptvq_manifest.json")));
  ASSERT_TRUE(source.ok() && quantized.ok()) << source.status() << quantized.status();
  const auto& source_result = std::get<EvaluateResult>(source->outcome);
  const auto& quantized_result = std::get<EvaluateResult>(quantized->outcome);
  EXPECT_EQ(source_result.token_count, 15 * 31);  // windows of 32 in 500 tokens, the first token of each not predicted
  EXPECT_EQ(quantized_result.token_count, source_result.token_count);
  EXPECT_GT(source_result.perplexity, 1);
  EXPECT_NE(quantized_result.perplexity, source_result.perplexity);
  EXPECT_GT(job.read_bytes(), std::filesystem::file_size(job.directory().Join("model/model.safetensors")));
  EXPECT_GT(job.written_bytes(), std::get<FinalizeResult>(finalized->outcome).output_bytes);  // and the boundary
}

TEST(PipelineExecutor, ShardsOfASequentialJobGiveTheLayersOfOneShard) {
  TinyJob whole;
  TinyJob cut;
  std::vector<PublishedLayer> whole_layers;
  std::vector<PublishedLayer> cut_layers;

  whole.Quantize({0, 4}, std::nullopt, &whole_layers);
  const Digest first = cut.Quantize({0, 1}, std::nullopt, &cut_layers);
  const Digest second = cut.Quantize({1, 3}, first, &cut_layers);
  cut.Quantize({3, 4}, second, &cut_layers);

  EXPECT_EQ(DigestsOf(cut_layers), DigestsOf(whole_layers));
}

TEST(PipelineExecutor, CapturedBoundaryLetsALaterShardStartAtOnce) {
  TinyJob job;
  RecordingSession session = job.NewSession();

  const auto captured = job.Run(job.Grant(TaskKind::kCapture, {0, 2}), session);

  ASSERT_TRUE(captured.ok()) << captured.status();
  EXPECT_THAT(session.steps, ElementsAre("load", "capture", "load", "capture"));
  std::vector<PublishedLayer> layers;
  job.Quantize({2, 4}, std::get<CaptureResult>(captured->outcome).output_boundary, &layers);
  EXPECT_THAT(layers, SizeIs(2));
  EXPECT_EQ(layers[0].layer, 2);
}

TEST(PipelineExecutor, StopEndsCapturesAndEvaluationsToo) {
  TinyJob job;
  RecordingSession session = job.NewSession();
  session.stop_at_step = "capture";
  EXPECT_EQ(job.Run(job.Grant(TaskKind::kCapture, {0, 2}), session).status().code(), absl::StatusCode::kCancelled);

  TaskGrant evaluation = job.Grant(TaskKind::kEvaluate, {0, 4});
  evaluation.target = EvaluationTarget::kSource;
  session.stop_at_step = "evaluate";
  EXPECT_EQ(job.Run(evaluation, session).status().code(), absl::StatusCode::kCancelled);
}

TEST(PipelineExecutor, TheTimeOfAnEvaluationIsCountedWhileItRuns) {
  TinyJob job;
  TaskGrant evaluation = job.Grant(TaskKind::kEvaluate, {0, 4});
  evaluation.target = EvaluationTarget::kSource;
  RecordingSession session = job.NewSession();
  std::string seen;
  session.on_report = [&](std::string_view) { seen = job.metrics_text(); };

  ASSERT_TRUE(job.Run(evaluation, session).ok());

  EXPECT_THAT(seen, Not(HasSubstr("gptvq_worker_phase_seconds_total{phase=\"evaluate\"} 0\n")));
  EXPECT_THAT(seen, HasSubstr("gptvq_worker_phase_seconds_total{phase=\"evaluate\"} "));
}

TEST(PipelineExecutor, StopWhileTheResultIsWrittenLeavesNoManifest) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  TaskGrant grant = job.Grant(TaskKind::kFinalize, {0, 4});
  grant.published_layers = layers;
  RecordingSession session = job.NewSession();
  session.stop_at_step = "write";

  EXPECT_EQ(job.Run(grant, session).status().code(), absl::StatusCode::kCancelled);

  EXPECT_FALSE(std::filesystem::exists(job.directory().Join("output/gptvq_manifest.json")));
}

TEST(PipelineExecutor, WhatAKilledAttemptLeftInTheOutputIsRemoved) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  job.directory().WriteFile("output/.gptvq-tmp-0123456789abcdef", "half a shard");
  job.directory().WriteFile("output/.tmp-of-somebody-else", "kept");

  EXPECT_TRUE(job.Finalize(layers).ok());

  EXPECT_FALSE(std::filesystem::exists(job.directory().Join("output/.gptvq-tmp-0123456789abcdef")));
  EXPECT_TRUE(std::filesystem::exists(job.directory().Join("output/.tmp-of-somebody-else")));
}

TEST(PipelineExecutor, MissingInputsAreNamed) {
  TinyJob job;
  std::vector<PublishedLayer> layers;
  job.spec().calibration_uris = {job.UriText("absent.ids")};
  RecordingSession session = job.NewSession();
  const auto no_text = job.Run(job.Grant(TaskKind::kQuantize, {0, 4}), session);
  job.spec().model_uri = job.UriText("absent-model");
  const auto no_model = job.Run(job.Grant(TaskKind::kQuantize, {0, 4}), session);

  EXPECT_EQ(no_text.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(no_text.status().message()), HasSubstr("absent.ids"));
  EXPECT_EQ(no_model.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(no_model.status().message()), HasSubstr("absent-model"));
}

TEST(PipelineExecutor, TroubleWithArtifactsIsNotTheInputsFault) {
  TinyJob job;
  TaskGrant grant = job.Grant(TaskKind::kQuantize, {1, 2});
  grant.input_boundary = Digest::Of(AsBytes("never stored"));
  RecordingSession session = job.NewSession();
  const auto no_boundary = job.Run(grant, session);
  std::filesystem::remove_all(job.directory().Join("store"));
  const auto no_store = job.Run(grant, session);

  EXPECT_EQ(FailureClassOf(no_boundary.status()), FailureClass::kTransient) << no_boundary.status();
  EXPECT_THAT(LostArtifactsOf(no_boundary.status()), ElementsAre(*grant.input_boundary));
  EXPECT_THAT(LostArtifactsOf(no_store.status()), IsEmpty());
  EXPECT_EQ(FailureClassOf(no_store.status()), FailureClass::kInfra) << no_store.status();
  EXPECT_FALSE(std::filesystem::exists(job.directory().Join("store")));
}

TEST(PipelineExecutor, TimeOfATaskIsBookedByPhase) {
  TinyJob job;
  RecordingSession session = job.NewSession();

  const auto result = job.Run(job.Grant(TaskKind::kQuantize, {0, 1}), session);

  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<TaskPhase> phases;
  for (const TaskPhaseSeconds& seconds : result->seconds) phases.push_back(seconds.phase);
  EXPECT_THAT(phases, testing::IsSupersetOf(
                          {TaskPhase::kLoad, TaskPhase::kHessian, TaskPhase::kQuantize, TaskPhase::kPublish}));
  EXPECT_THAT(job.metrics_text(),
              testing::ContainsRegex("phase_seconds_total\\{phase=\"hessian\"\\} (0\\.0*|[0-9.e-]*)[1-9]"));
}

}  // namespace
}  // namespace gptvq
