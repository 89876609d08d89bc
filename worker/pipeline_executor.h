#ifndef GPTVQ_WORKER_PIPELINE_EXECUTOR_H_
#define GPTVQ_WORKER_PIPELINE_EXECUTOR_H_

#include <chrono>
#include <optional>
#include <utility>

#include "core/backend/team.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/object_store/storage.h"
#include "worker/task_executor.h"
#include "worker/worker_metrics.h"

namespace gptvq {

struct PipelineExecutorOptions {
  // What is finished of a layer is kept when a linear is finished so long after the last durable progress. Nullopt: never,
  // where nobody can resume.
  std::optional<std::chrono::milliseconds> checkpoint_every = {};
};

// Runs tasks with core/pipeline on the backends of a slot: reads model, texts and boundaries through `storage`, publishes layers
// and keeps checkpoints through the session, writes boundaries to the artifact store and the result to the output URI. Nothing
// is kept here between tasks, so that every task of a job may run on another worker. Borrows everything. Thread-compatible.
//
// Memory: that of the stage (core/pipeline/stages.h), the token ids of the calibration rows, one packed layer.
class PipelineExecutor final : public TaskExecutor {
 public:
  // A Backend& will do for the team. Evaluation runs on its lead.
  PipelineExecutor(const PipelineExecutorOptions& options, Team team, const Storage& storage, const Clock& clock,
                   Logger& log, WorkerMetrics& metrics)
      : options_(options), team_(std::move(team)), storage_(storage), clock_(clock), log_(log), metrics_(metrics) {}

  // Errors: those of core/pipeline, core/format, core/text and Storage; Cancelled from the session.
  absl::StatusOr<TaskResult> Execute(const TaskGrant& grant, TaskSession& session) override;

 private:
  const PipelineExecutorOptions options_;
  const Team team_;
  const Storage& storage_;
  const Clock& clock_;
  Logger& log_;
  WorkerMetrics& metrics_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_PIPELINE_EXECUTOR_H_
