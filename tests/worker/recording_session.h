#ifndef GPTVQ_TESTS_WORKER_RECORDING_SESSION_H_
#define GPTVQ_TESTS_WORKER_RECORDING_SESSION_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/job.h"
#include "platform/object_store/artifact_store.h"
#include "worker/task_executor.h"

namespace gptvq {

// A session that keeps published layers as the coordinator does, in its artifact store, and stops the work when told.
class RecordingSession final : public TaskSession {
 public:
  RecordingSession(ArtifactStore& artifacts, std::string artifact_store_uri)
      : artifacts_(artifacts), uri_(std::move(artifact_store_uri)) {}

  absl::Status ReportProgress(int layer, std::string_view step, double fraction) override;
  absl::Status PublishLayer(int layer, std::string_view packed, const std::vector<LinearReport>& linears) override;
  absl::Status KeepCheckpoint(const TaskCheckpoint& checkpoint, std::stop_token abandoned) override;
  const std::string& artifact_store_uri() const override { return uri_; }

  // The publish after so many layers, or the report of this step, is answered with Cancelled.
  std::optional<std::size_t> stop_after_layers;
  std::string stop_at_step;
  std::function<void(std::string_view step)> on_report = [](std::string_view) {};

  absl::Status checkpoint_answer;

  std::vector<PublishedLayer> layers;
  std::vector<TaskCheckpoint> checkpoints;
  std::vector<std::string> steps;  // without repetitions

 private:
  ArtifactStore& artifacts_;
  const std::string uri_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_RECORDING_SESSION_H_
