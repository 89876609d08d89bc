#include "worker/checkpoints.h"

#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {

Checkpoints::Checkpoints(const Options& options, StoreArtifact store, TaskSession& session, const Clock& clock,
                         Logger& log, WorkerMetrics& metrics)
    : every_(options.every),
      store_(std::move(store)),
      session_(session),
      clock_(clock),
      log_(log),
      metrics_(metrics),
      last_sequence_(options.last_sequence),
      last_progress_(clock.MonotonicNow()) {}

void Checkpoints::NotePublished() {
  last_sequence_ = 0;  // sequences are counted by layer
  last_progress_ = clock_.MonotonicNow();
}

bool Checkpoints::WantsCheckpoint() { return clock_.MonotonicNow() - last_progress_ >= every_; }

void Checkpoints::KeepCheckpoint(int layer, std::string packed, const std::vector<LinearReport>& reports,
                                 std::stop_token abandoned) {
  const auto keep = [&]() -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(const Digest artifact, store_(packed));
    return session_.KeepCheckpoint(
        {.layer = layer, .sequence = ++last_sequence_, .artifact = artifact, .linears = reports}, abandoned);
  };
  const absl::Status status = keep();
  if (status.ok()) {
    last_progress_ = clock_.MonotonicNow();
    metrics_.CountCheckpoint(CheckpointEnd::kKept, reports.size());
    log_.Info("checkpoint kept", {{"layer", layer}, {"linears", reports.size()}, {"bytes", packed.size()}});
  } else if (!abandoned.stop_requested()) {
    metrics_.CountCheckpoint(CheckpointEnd::kFailed, reports.size());
    log_.Warning("checkpoint not kept", {{"layer", layer}, {"linears", reports.size()}, {"error", status.ToString()}});
  }
}

}  // namespace gptvq
