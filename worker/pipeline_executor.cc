#include "worker/pipeline_executor.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/format/assemble.h"
#include "core/format/checkpoint.h"
#include "core/format/file_digest.h"
#include "core/format/layer_artifact.h"
#include "core/format/verify.h"
#include "core/pipeline/boundary.h"
#include "core/pipeline/evaluate_directory.h"
#include "core/pipeline/observer.h"
#include "core/pipeline/source_model.h"
#include "core/pipeline/stages.h"
#include "platform/job/task.h"
#include "platform/object_store/object_directory.h"
#include "platform/stage_clock.h"
#include "platform/version.h"
#include "worker/checkpoints.h"
#include "worker/job_texts.h"
#include "worker/observed_directory.h"
#include "worker/phase_clock.h"
#include "worker/task_artifacts.h"

namespace gptvq {
namespace {

// Passes what a stage says on to the session and books its time.
class SessionObserver final : public StageObserver {
 public:
  // `checkpoints` may be null.
  SessionObserver(TaskSession& session, PhaseClock& phases, Checkpoints* checkpoints)
      : session_(session), phases_(phases), checkpoints_(checkpoints) {}

  absl::Status OnProgress(const Progress& progress) override {
    phases_.Enter(PhaseOfStep(progress.step));
    return session_.ReportProgress(progress.layer, progress.step, progress.fraction);
  }

  absl::Status OnLayerQuantized(int layer, std::string packed, const std::vector<LinearReport>& reports) override {
    GPTVQ_RETURN_IF_ERROR(session_.PublishLayer(layer, packed, reports));
    if (checkpoints_ != nullptr) checkpoints_->NotePublished();
    return absl::OkStatus();
  }

 private:
  TaskSession& session_;
  PhaseClock& phases_;
  Checkpoints* const checkpoints_;
};

// One task being run.
class TaskRun {
 public:
  TaskRun(const PipelineExecutorOptions& options, const Team& team, const Storage& storage, const Clock& clock,
          Logger& log, WorkerMetrics& metrics, const TaskGrant& grant, TaskSession& session)
      : options_(options),
        team_(team),
        storage_(storage),
        clock_(clock),
        stage_clock_(clock),
        log_(log),
        metrics_(metrics),
        phases_(clock, [&metrics](const TaskPhaseSeconds& spent) { metrics.CountPhase(spent); }),
        count_reads_([&metrics](std::size_t bytes) {
          metrics.read_bytes.Increment(static_cast<double>(bytes));
          return absl::OkStatus();
        }),
        grant_(grant),
        session_(session) {}

  absl::StatusOr<CaptureResult> Capture();
  absl::StatusOr<QuantizeResult> Quantize();
  absl::StatusOr<FinalizeResult> Finalize();
  absl::StatusOr<EvaluateResult> Evaluate();

  std::vector<TaskPhaseSeconds> Seconds() { return phases_.Seconds(); }

 private:
  absl::StatusOr<std::unique_ptr<ReadableDirectory>> OpenDirectory(const std::string& uri) const;
  absl::StatusOr<Activations> EnterShard(const StageContext& context);
  absl::StatusOr<std::vector<LayerArtifact>> OpenPublishedLayers();
  std::optional<LayerCheckpoint> OpenCheckpoint(const ModelConfig& config);
  absl::StatusOr<LayerCheckpoint> ReadCheckpoint(const ModelConfig& config);
  std::optional<Checkpoints> KeepsCheckpoints();
  absl::StatusOr<Digest> StoreBoundary(const Activations& boundary);
  absl::StatusOr<ManifestFacts> Facts(const ReadableDirectory& model, const Checkpoint& checkpoint);
  absl::Status CheckOutputIsFree(const ManifestFacts& facts) const;
  absl::Status VerifyOutput(const Digest& manifest);

  const PipelineExecutorOptions& options_;
  const Team& team_;
  const Storage& storage_;
  const Clock& clock_;
  const StageClock stage_clock_;
  Logger& log_;
  WorkerMetrics& metrics_;
  PhaseClock phases_;
  const ByteObserver count_reads_;
  const TaskGrant& grant_;
  TaskSession& session_;
};

absl::StatusOr<CaptureResult> TaskRun::Capture() {
  GPTVQ_ASSIGN_OR_RETURN(const auto directory, OpenDirectory(grant_.spec.model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const auto model, SourceModel::Open(*directory));
  GPTVQ_ASSIGN_OR_RETURN(const CalibrationSet calibration, LoadCalibrationSet(storage_, *directory, grant_.spec));
  const StageContext context = {team_, *model, calibration.tokens(), stage_clock_};
  GPTVQ_ASSIGN_OR_RETURN(Activations boundary, EnterShard(context));
  SessionObserver observer(session_, phases_, nullptr);
  GPTVQ_ASSIGN_OR_RETURN(boundary, CaptureShard(context, grant_.layers, std::move(boundary), observer));
  GPTVQ_ASSIGN_OR_RETURN(const Digest digest, StoreBoundary(boundary));
  return CaptureResult{digest};
}

absl::StatusOr<QuantizeResult> TaskRun::Quantize() {
  QuantizeResult result;
  const bool is_published = static_cast<int>(grant_.published_layers.size()) == grant_.layers.count();
  if (is_published && !grant_.output_boundary_wanted) return result;  // an earlier attempt fell short of saying so

  GPTVQ_ASSIGN_OR_RETURN(const auto directory, OpenDirectory(grant_.spec.model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const auto model, SourceModel::Open(*directory));
  GPTVQ_ASSIGN_OR_RETURN(const CalibrationSet calibration, LoadCalibrationSet(storage_, *directory, grant_.spec));
  const StageContext context = {team_, *model, calibration.tokens(), stage_clock_};
  QuantizeShardOptions options = {.spec = grant_.spec.quant, .seed = grant_.spec.seed};
  GPTVQ_ASSIGN_OR_RETURN(options.published, OpenPublishedLayers());
  options.checkpoint = OpenCheckpoint(model->config());
  std::optional<Checkpoints> checkpoints = KeepsCheckpoints();
  options.keeper = checkpoints ? &*checkpoints : nullptr;
  GPTVQ_ASSIGN_OR_RETURN(Activations boundary, EnterShard(context));
  SessionObserver observer(session_, phases_, checkpoints ? &*checkpoints : nullptr);
  GPTVQ_ASSIGN_OR_RETURN(boundary, QuantizeShard(context, grant_.layers, std::move(boundary), options, observer));
  if (grant_.output_boundary_wanted) {
    GPTVQ_ASSIGN_OR_RETURN(result.output_boundary, StoreBoundary(boundary));
  }
  return result;
}

absl::StatusOr<FinalizeResult> TaskRun::Finalize() {
  phases_.Enter(TaskPhase::kFinalize);
  GPTVQ_ASSIGN_OR_RETURN(const auto directory, OpenDirectory(grant_.spec.model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(*directory));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<LayerArtifact> layers, OpenPublishedLayers());
  AssembleOptions options;
  GPTVQ_ASSIGN_OR_RETURN(options.facts, Facts(*directory, checkpoint));

  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri output_uri, ObjectUri::Parse(grant_.spec.output_uri));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store, storage_.CreateStore(output_uri));
  GPTVQ_RETURN_IF_ERROR(CheckOutputIsFree(options.facts));
  GPTVQ_RETURN_IF_ERROR(store->RemoveAbandonedWrites(ListScope::kDirect));  // of an attempt that was killed
  ObservedWritableDirectory output(std::make_unique<ObjectDirectory>(std::move(store)),
                                   [&](std::size_t bytes) -> absl::Status {
                                     metrics_.written_bytes.Increment(static_cast<double>(bytes));
                                     // In front of every file that becomes visible: another job may have been faster.
                                     if (bytes == 0) GPTVQ_RETURN_IF_ERROR(CheckOutputIsFree(options.facts));
                                     return session_.ReportProgress(grant_.layer_count, "write", 0);
                                   });
  GPTVQ_ASSIGN_OR_RETURN(const AssembledCheckpoint assembled,
                         AssembleCheckpoint(*directory, checkpoint, layers, options, output));
  GPTVQ_RETURN_IF_ERROR(VerifyOutput(assembled.manifest));
  return FinalizeResult{.output_bytes = assembled.output_bytes, .manifest = assembled.manifest};
}

absl::Status TaskRun::CheckOutputIsFree(const ManifestFacts& facts) const {
  const absl::StatusOr<std::unique_ptr<ReadableDirectory>> output = OpenDirectory(grant_.spec.output_uri);
  if (absl::IsNotFound(output.status())) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(output.status());
  return CheckNoOtherResult(**output, facts);
}

absl::StatusOr<EvaluateResult> TaskRun::Evaluate() {
  GPTVQ_ASSIGN_OR_RETURN(const auto source, OpenDirectory(grant_.spec.model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const CalibrationSet windows, LoadEvaluationWindows(storage_, *source, grant_.spec));
  const bool is_source = grant_.target == EvaluationTarget::kSource;
  GPTVQ_ASSIGN_OR_RETURN(const auto directory,
                         OpenDirectory(is_source ? grant_.spec.model_uri : grant_.spec.output_uri));
  phases_.Enter(TaskPhase::kEvaluate);
  GPTVQ_ASSIGN_OR_RETURN(const Perplexity perplexity,
                         EvaluateDirectory(team_.lead(), *directory, windows.tokens(), [this](double fraction) {
                           phases_.Enter(TaskPhase::kEvaluate);  // books the time until here
                           const int layer = static_cast<int>(fraction * grant_.layer_count);
                           return session_.ReportProgress(layer, "evaluate", fraction);
                         }));
  return EvaluateResult{.perplexity = perplexity.value(), .token_count = perplexity.token_count};
}

absl::StatusOr<std::unique_ptr<ReadableDirectory>> TaskRun::OpenDirectory(const std::string& uri) const {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri parsed, ObjectUri::Parse(uri));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ReadableDirectory> directory, storage_.OpenDirectory(parsed));
  return std::make_unique<ObservedReadableDirectory>(std::move(directory), count_reads_);
}

// The activations in front of the shard.
absl::StatusOr<Activations> TaskRun::EnterShard(const StageContext& context) {
  if (!grant_.input_boundary) {
    if (grant_.layers.begin == 0) return EmbedCalibration(context);
    return absl::InternalError(absl::StrCat("no boundary in front of layer ", grant_.layers.begin));
  }
  GPTVQ_ASSIGN_OR_RETURN(const TaskArtifacts artifacts, TaskArtifacts::Open(storage_, session_.artifact_store_uri()));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, artifacts.Read(*grant_.input_boundary, count_reads_));
  const Activations::Shape shape = {.sample_count = context.tokens.rows,
                                    .sequence_length = context.tokens.cols,
                                    .hidden_size = context.model.config().hidden_size};
  return ReadBoundary(std::move(file), shape, team_.lead());
}

absl::StatusOr<std::vector<LayerArtifact>> TaskRun::OpenPublishedLayers() {
  if (grant_.published_layers.empty()) return std::vector<LayerArtifact>();
  GPTVQ_ASSIGN_OR_RETURN(const TaskArtifacts artifacts, TaskArtifacts::Open(storage_, session_.artifact_store_uri()));
  return artifacts.ReadLayers(grant_.published_layers, count_reads_);
}

// What the grant names of the layer in progress; nullopt when it names nothing, or nothing that can be used.
std::optional<LayerCheckpoint> TaskRun::OpenCheckpoint(const ModelConfig& config) {
  if (!grant_.checkpoint) return std::nullopt;
  const int layer = grant_.checkpoint->layer;
  const std::size_t linears = grant_.checkpoint->linears.size();
  absl::StatusOr<LayerCheckpoint> checkpoint = ReadCheckpoint(config);
  if (!checkpoint.ok()) {
    metrics_.CountCheckpoint(CheckpointEnd::kUnusable, linears);
    log_.Warning("checkpoint not used; the layer is computed from its beginning",
                 {{"task", grant_.lease.task_id}, {"layer", layer}, {"error", checkpoint.status().ToString()}});
    return std::nullopt;
  }
  metrics_.CountCheckpoint(CheckpointEnd::kUsed, linears);
  log_.Info("checkpoint used", {{"task", grant_.lease.task_id}, {"layer", layer}, {"linears", linears}});
  return *std::move(checkpoint);
}

absl::StatusOr<LayerCheckpoint> TaskRun::ReadCheckpoint(const ModelConfig& config) {
  GPTVQ_ASSIGN_OR_RETURN(const TaskArtifacts artifacts, TaskArtifacts::Open(storage_, session_.artifact_store_uri()));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file,
                         artifacts.Read(grant_.checkpoint->artifact, count_reads_));
  GPTVQ_ASSIGN_OR_RETURN(const LayerArtifact artifact, LayerArtifact::Open(std::move(file)));
  GPTVQ_ASSIGN_OR_RETURN(LayerCheckpoint checkpoint,
                         ReadLayerCheckpoint(artifact, config, grant_.spec.quant, grant_.checkpoint->linears));
  if (checkpoint.layer == grant_.checkpoint->layer) return checkpoint;
  return absl::DataLossError(absl::StrCat("the artifact is of layer ", checkpoint.layer));
}

std::optional<Checkpoints> TaskRun::KeepsCheckpoints() {
  if (!options_.checkpoint_every) return std::nullopt;
  const auto store = [this](std::string_view bytes) -> absl::StatusOr<Digest> {
    GPTVQ_ASSIGN_OR_RETURN(TaskArtifacts artifacts, TaskArtifacts::Open(storage_, session_.artifact_store_uri()));
    GPTVQ_ASSIGN_OR_RETURN(const Digest digest, artifacts.Write(bytes));
    metrics_.written_bytes.Increment(static_cast<double>(bytes.size()));
    return digest;
  };
  const std::int64_t last_sequence = grant_.checkpoint ? grant_.checkpoint->sequence : 0;
  return std::optional<Checkpoints>(std::in_place, Checkpoints::Options{*options_.checkpoint_every, last_sequence},
                                    store, session_, clock_, log_, metrics_);
}

absl::StatusOr<Digest> TaskRun::StoreBoundary(const Activations& boundary) {
  phases_.Enter(TaskPhase::kPublish);
  GPTVQ_ASSIGN_OR_RETURN(TaskArtifacts artifacts, TaskArtifacts::Open(storage_, session_.artifact_store_uri()));
  GPTVQ_ASSIGN_OR_RETURN(const Digest digest,
                         artifacts.Write([&](WritableFile& file) { return WriteBoundary(boundary, file); }));
  const ConstTensorView values = boundary.view();
  metrics_.written_bytes.Increment(static_cast<double>(values.rows * values.cols) *
                                   static_cast<double>(DTypeBytes(values.dtype)));
  return digest;
}

absl::StatusOr<ManifestFacts> TaskRun::Facts(const ReadableDirectory& model, const Checkpoint& checkpoint) {
  const JobSpec& spec = grant_.spec;
  GPTVQ_ASSIGN_OR_RETURN(const CalibrationSet calibration, LoadCalibrationSet(storage_, model, spec));
  ManifestFacts facts;
  facts.tool_version = std::string(Version());
  facts.spec = spec.quant;
  facts.seed = spec.seed;
  facts.calibration = calibration.digest();
  facts.propagation = std::string(Name(spec.propagation));
  // Shards of a sequential job change nothing, so they are not part of what identifies its result.
  facts.shard_layers = spec.propagation == PropagationMode::kSequential ? grant_.layer_count : spec.shard_layers;
  facts.numerics_class = team_.lead().numerics_class();
  std::vector<std::string> source_files = {"config.json"};
  for (const SafetensorsReader& shard : checkpoint.shards()) source_files.emplace_back(shard.file_name());
  for (const std::string& name : source_files) {
    GPTVQ_RETURN_IF_ERROR(session_.ReportProgress(grant_.layer_count, "digest", 0));
    GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, model.Open(name));
    GPTVQ_ASSIGN_OR_RETURN(facts.source_files[name], DigestFile(*file));
  }
  for (const PublishedLayer& layer : grant_.published_layers) {
    facts.linears.insert(facts.linears.end(), layer.linears.begin(), layer.linears.end());
  }
  return facts;
}

// Reads every byte of the result back: what is reported as written was read after it was stored.
absl::Status TaskRun::VerifyOutput(const Digest& manifest) {
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ReadableDirectory> opened, OpenDirectory(grant_.spec.output_uri));
  const ObservedReadableDirectory output(
      std::move(opened), [this](std::size_t) { return session_.ReportProgress(grant_.layer_count, "verify", 0); });
  GPTVQ_ASSIGN_OR_RETURN(const Verification verification, VerifyCheckpoint(output));
  GPTVQ_RETURN_IF_ERROR(session_.ReportProgress(grant_.layer_count, "verify", 1));  // a stop shows as a failure above
  if (verification.ok() && verification.manifest == manifest) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the result is not what was written: ", absl::StrJoin(verification.failures, "; ")));
}

template <typename OutcomeT>
absl::StatusOr<TaskResult> ResultOf(absl::StatusOr<OutcomeT> outcome, TaskRun& run) {
  GPTVQ_RETURN_IF_ERROR(outcome.status());
  return TaskResult{run.Seconds(), *std::move(outcome)};
}

}  // namespace

absl::StatusOr<TaskResult> PipelineExecutor::Execute(const TaskGrant& grant, TaskSession& session) {
  TaskRun run(options_, team_, storage_, clock_, log_, metrics_, grant, session);
  switch (grant.kind) {
    case TaskKind::kCapture: return ResultOf(run.Capture(), run);
    case TaskKind::kQuantize: return ResultOf(run.Quantize(), run);
    case TaskKind::kFinalize: return ResultOf(run.Finalize(), run);
    case TaskKind::kEvaluate: return ResultOf(run.Evaluate(), run);
    case TaskKind::kAudit: break;  // granted as the kind that is audited
  }
  return absl::UnimplementedError("a kind of task that this worker does not know");
}

}  // namespace gptvq
