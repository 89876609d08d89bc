#include "worker/pipeline_executor.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/clock.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tiny_model.h"
#include "tests/worker/recording_session.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr TinyModel kModel;

std::string IdLines(std::int64_t count, std::uint64_t seed) {
  std::string text;
  for (const std::int32_t id : RandomTokens(kModel, count, seed)) text += std::to_string(id) + " ";
  return text + "\n";
}

// A job on a tiny model, and the part of the coordinator in it: it makes the grants and keeps what comes back.
class Job {
 public:
  explicit Job(int thread_count = 1) : backend_(MakeCpuBackend({.thread_count = thread_count})) {
    WriteTinyModel(kModel, **storage_.CreateDirectory(Uri("model")));
    directory_.WriteFile("calibration.ids", IdLines(2000, 1));
    directory_.WriteFile("held-out.ids", IdLines(500, 2));
    spec_.model_uri = UriText("model");
    spec_.calibration_uris = {UriText("calibration.ids")};
    spec_.evaluation_uri = UriText("held-out.ids");
    spec_.output_uri = UriText("output");
    spec_.samples = 6;
    spec_.sequence_length = 32;
    spec_.seed = 3;
    spec_.quant.index_bits = 4;
    spec_.quant.group_weights = 1024;
    spec_.quant.columns_per_group = 64;
    spec_.quant.em_iterations = 10;
    spec_.quant.update_iterations = 3;
    spec_.quant.refinement_passes = 1;
  }

  RecordingSession NewSession() { return RecordingSession(artifacts_, UriText("store")); }

  absl::StatusOr<TaskResult> Run(const TaskGrant& grant, TaskSession& session) {
    return PipelineExecutor({.checkpoint_every = checkpoint_every}, *backend_, storage_, clock_, log_, metrics_)
        .Execute(grant, session);
  }

  TaskGrant Grant(TaskKind kind, LayerRange layers) const {
    TaskGrant grant;
    grant.lease.task_id = "job/task-0";
    grant.kind = kind;
    grant.spec = spec_;
    grant.layer_count = kModel.layer_count;
    grant.layers = layers;
    return grant;
  }

  // Quantizes [begin, end) behind `boundary`; the layers are added to `layers`. Returns the boundary behind them.
  Digest Quantize(LayerRange range, std::optional<Digest> boundary, std::vector<PublishedLayer>* layers) {
    TaskGrant grant = Grant(TaskKind::kQuantize, range);
    grant.input_boundary = boundary;
    grant.output_boundary_wanted = true;
    RecordingSession session = NewSession();
    const auto result = Run(grant, session);
    EXPECT_TRUE(result.ok()) << result.status();
    layers->insert(layers->end(), session.layers.begin(), session.layers.end());
    return std::get<QuantizeResult>(result->outcome).output_boundary.value();
  }

  absl::StatusOr<TaskResult> Finalize(const std::vector<PublishedLayer>& layers) {
    TaskGrant grant = Grant(TaskKind::kFinalize, {0, kModel.layer_count});
    grant.published_layers = layers;
    RecordingSession session = NewSession();
    return Run(grant, session);
  }

  absl::StatusOr<TaskResult> Evaluate(EvaluationTarget target) {
    TaskGrant grant = Grant(TaskKind::kEvaluate, {0, kModel.layer_count});
    grant.target = target;
    RecordingSession session = NewSession();
    return Run(grant, session);
  }

  std::string UriText(const std::string& name) const { return "file://" + directory_.Join(name); }
  ObjectUri Uri(const std::string& name) const { return ObjectUri::Parse(UriText(name)).value(); }
  const TemporaryDirectory& directory() const { return directory_; }
  JobSpec& spec() { return spec_; }
  double read_bytes() const { return metrics_.read_bytes.Value(); }
  double written_bytes() const { return metrics_.written_bytes.Value(); }
  std::string metrics_text() const { return registry_.RenderText(); }

  std::optional<std::chrono::milliseconds> checkpoint_every;

 private:
  const TemporaryDirectory directory_;
  const Storage storage_{{}};
  std::unique_ptr<ObjectStore> store_ = *storage_.CreateStore(Uri("store"));
  ArtifactStore artifacts_{*store_};
  JobSpec spec_;
  std::unique_ptr<Backend> backend_;
  SystemClock clock_;
  Logger log_{LogLevel::kError};
  MetricsRegistry registry_{"worker"};
  WorkerMetrics metrics_{registry_};
};

std::vector<Digest> DigestsOf(const std::vector<PublishedLayer>& layers) {
  std::vector<Digest> digests;
  for (const PublishedLayer& layer : layers) digests.push_back(layer.artifact);
  return digests;
}

Digest ManifestOf(const absl::StatusOr<TaskResult>& result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? std::get<FinalizeResult>(result->outcome).manifest : Digest();
}

TEST(PipelineExecutor, RunsEveryTaskOfAJob) {
  Job job;
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
  Job whole;
  Job cut;
  std::vector<PublishedLayer> whole_layers;
  std::vector<PublishedLayer> cut_layers;

  whole.Quantize({0, 4}, std::nullopt, &whole_layers);
  const Digest first = cut.Quantize({0, 1}, std::nullopt, &cut_layers);
  const Digest second = cut.Quantize({1, 3}, first, &cut_layers);
  cut.Quantize({3, 4}, second, &cut_layers);

  EXPECT_EQ(DigestsOf(cut_layers), DigestsOf(whole_layers));
}

TEST(PipelineExecutor, InterruptedAndResumedTaskGivesTheSameResultOnAnyNumberOfThreads) {
  Job one_go(1);
  std::vector<PublishedLayer> one_go_layers;
  const Digest one_go_boundary = one_go.Quantize({0, 4}, std::nullopt, &one_go_layers);

  Job resumed(2);
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
TaskCheckpoint KeptBeforeTheFourthLinear(Job& job, const TaskGrant& grant) {
  RecordingSession session = job.NewSession();
  session.stop_at_step = "model.layers.0.self_attn.o_proj";
  job.checkpoint_every = std::chrono::milliseconds(0);
  EXPECT_EQ(job.Run(grant, session).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(session.checkpoints.empty());
  return session.checkpoints.empty() ? TaskCheckpoint() : session.checkpoints.back();
}

TEST(PipelineExecutor, AnAttemptThatWasKilledInsideALayerIsResumedThere) {
  Job one_go;
  std::vector<PublishedLayer> one_go_layers;
  const Digest boundary = one_go.Quantize({0, 4}, std::nullopt, &one_go_layers);
  Job resumed(2);
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
  Job job;
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
  Job job;
  job.checkpoint_every = std::chrono::milliseconds(0);
  RecordingSession session = job.NewSession();
  session.checkpoint_answer = absl::FailedPreconditionError("refused by the test");

  const auto result = job.Run(job.Grant(TaskKind::kQuantize, {0, 2}), session);

  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(session.checkpoints.empty());
  EXPECT_THAT(job.metrics_text(), HasSubstr("gptvq_worker_checkpoints_total{result=\"kept\"} 0\n"));
}

TEST(PipelineExecutor, KeepsNoCheckpointSoonAfterDurableProgress) {
  Job job;
  job.checkpoint_every = std::chrono::hours(1);
  RecordingSession session = job.NewSession();

  EXPECT_TRUE(job.Run(job.Grant(TaskKind::kQuantize, {0, 2}), session).ok());

  EXPECT_THAT(session.checkpoints, IsEmpty());
}

TEST(PipelineExecutor, ShardThatIsPublishedAlreadyNeedsNoComputing) {
  Job job;
  TaskGrant grant = job.Grant(TaskKind::kQuantize, {0, 2});
  grant.published_layers = std::vector<PublishedLayer>(2);
  RecordingSession session = job.NewSession();

  const auto result = job.Run(grant, session);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(session.steps, IsEmpty());
}

TEST(PipelineExecutor, CapturedBoundaryLetsALaterShardStartAtOnce) {
  Job job;
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
  Job job;
  RecordingSession session = job.NewSession();
  session.stop_at_step = "capture";
  EXPECT_EQ(job.Run(job.Grant(TaskKind::kCapture, {0, 2}), session).status().code(), absl::StatusCode::kCancelled);

  TaskGrant evaluation = job.Grant(TaskKind::kEvaluate, {0, 4});
  evaluation.target = EvaluationTarget::kSource;
  session.stop_at_step = "evaluate";
  EXPECT_EQ(job.Run(evaluation, session).status().code(), absl::StatusCode::kCancelled);
}

TEST(PipelineExecutor, TheTimeOfAnEvaluationIsCountedWhileItRuns) {
  Job job;
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
  Job job;
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
  Job job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  job.directory().WriteFile("output/.gptvq-tmp-0123456789abcdef", "half a shard");
  job.directory().WriteFile("output/.tmp-of-somebody-else", "kept");

  EXPECT_TRUE(job.Finalize(layers).ok());

  EXPECT_FALSE(std::filesystem::exists(job.directory().Join("output/.gptvq-tmp-0123456789abcdef")));
  EXPECT_TRUE(std::filesystem::exists(job.directory().Join("output/.tmp-of-somebody-else")));
}

TEST(PipelineExecutor, DamagedLayerIsNotBuiltIntoAResult) {
  Job job;
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
  Job job;
  std::vector<PublishedLayer> layers;
  job.Quantize({0, 4}, std::nullopt, &layers);
  std::filesystem::remove(job.directory().Join("store/" + ArtifactStore::KeyOf(layers[0].artifact)));
  std::filesystem::resize_file(job.directory().Join("store/" + ArtifactStore::KeyOf(layers[3].artifact)), 100);

  const absl::Status lost = job.Finalize(layers).status();

  EXPECT_EQ(FailureClassOf(lost), FailureClass::kTransient);
  EXPECT_THAT(LostArtifactsOf(lost), ElementsAre(layers[0].artifact, layers[3].artifact));
}

TEST(PipelineExecutor, ALayerThatIsMissingBetweenOthersIsComputedAgainToTheSameBytes) {
  Job job;
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

TEST(PipelineExecutor, MissingInputsAreNamed) {
  Job job;
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
  Job job;
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
  Job job;
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
