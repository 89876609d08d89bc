#include "tests/worker/recording_session.h"

#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace gptvq {

absl::Status RecordingSession::ReportProgress(int, std::string_view step, double) {
  on_report(step);
  if (steps.empty() || steps.back() != step) steps.emplace_back(step);
  if (step == stop_at_step) return absl::CancelledError("stopped by the test");
  return absl::OkStatus();
}

absl::Status RecordingSession::PublishLayer(int layer, std::string_view packed,
                                            const std::vector<LinearReport>& linears) {
  if (stop_after_layers == layers.size()) return absl::CancelledError("stopped by the test");
  GPTVQ_ASSIGN_OR_RETURN(const Digest digest, artifacts_.PutArtifact(AsBytes(packed)));
  layers.push_back({.layer = layer, .artifact = digest, .linears = linears});
  return absl::OkStatus();
}

absl::Status RecordingSession::KeepCheckpoint(const TaskCheckpoint& checkpoint, std::stop_token) {
  checkpoints.push_back(checkpoint);
  return checkpoint_answer;
}

}  // namespace gptvq
