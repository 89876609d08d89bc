#ifndef GPTVQ_TESTS_WORKER_TINY_JOB_H_
#define GPTVQ_TESTS_WORKER_TINY_JOB_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "gtest/gtest.h"
#include "platform/clock.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tiny_model.h"
#include "tests/worker/recording_session.h"
#include "worker/pipeline_executor.h"

namespace gptvq {

// A calibration text of `count` random token ids.
inline std::string IdLines(const TinyModel& model, std::int64_t count, std::uint64_t seed) {
  std::string text;
  for (const std::int32_t id : RandomTokens(model, count, seed)) text += std::to_string(id) + " ";
  return text + "\n";
}

// A job on a tiny model, and the part of the coordinator in it: it makes the grants and keeps what comes back.
class TinyJob {
 public:
  explicit TinyJob(int thread_count = 1) : backend_(MakeCpuBackend({.thread_count = thread_count})) {
    WriteTinyModel(kModel, **storage_.CreateDirectory(Uri("model")));
    directory_.WriteFile("calibration.ids", IdLines(kModel, 2000, 1));
    directory_.WriteFile("held-out.ids", IdLines(kModel, 500, 2));
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
  static constexpr TinyModel kModel{};

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

inline std::vector<Digest> DigestsOf(const std::vector<PublishedLayer>& layers) {
  std::vector<Digest> digests;
  for (const PublishedLayer& layer : layers) digests.push_back(layer.artifact);
  return digests;
}

inline Digest ManifestOf(const absl::StatusOr<TaskResult>& result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? std::get<FinalizeResult>(result->outcome).manifest : Digest();
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_TINY_JOB_H_
