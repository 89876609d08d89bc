#ifndef GPTVQ_WORKER_CHECKPOINTS_H_
#define GPTVQ_WORKER_CHECKPOINTS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/pipeline/layer_checkpoint.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "worker/task_executor.h"
#include "worker/worker_metrics.h"

namespace gptvq {

// Keeps checkpoints of one task: stores the artifact, then has the coordinator name it. What fails is logged and counted, and
// computed again by whoever would have used it. Borrows everything. Thread-compatible: the pipeline hands it from thread
// to thread.
class Checkpoints final : public CheckpointKeeper {
 public:
  // Stores bytes in the artifact store.
  using StoreArtifact = std::function<absl::StatusOr<Digest>(std::string_view bytes)>;

  struct Options {
    // A linear that is finished sooner after the last durable progress is not worth an upload of its own.
    std::chrono::milliseconds every{0};
    std::int64_t last_sequence = 0;  // of the checkpoint that the grant named
  };

  Checkpoints(const Options& options, StoreArtifact store, TaskSession& session, const Clock& clock, Logger& log,
              WorkerMetrics& metrics);

  // A layer was published: durable progress, and its checkpoints are of no use any more.
  void NotePublished();

  bool WantsCheckpoint() override;
  void KeepCheckpoint(int layer, std::string packed, const std::vector<LinearReport>& reports,
                      std::stop_token abandoned) override;

 private:
  const std::chrono::milliseconds every_;
  const StoreArtifact store_;
  TaskSession& session_;
  const Clock& clock_;
  Logger& log_;
  WorkerMetrics& metrics_;
  std::int64_t last_sequence_;
  MonotonicTime last_progress_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_CHECKPOINTS_H_
