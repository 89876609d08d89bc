#ifndef GPTVQ_WORKER_PIPELINE_EXECUTOR_H_
#define GPTVQ_WORKER_PIPELINE_EXECUTOR_H_

#include "core/backend/backend.h"
#include "platform/clock.h"
#include "platform/object_store/storage.h"
#include "worker/task_executor.h"
#include "worker/worker_metrics.h"

namespace gptvq {

// Runs tasks with core/pipeline on one backend: reads model, texts and boundaries through `storage`, publishes layers
// through the session, writes boundaries to the artifact store and the result to the output URI. Nothing is kept between
// tasks, so that every task of a job may run on another worker. Borrows everything. Thread-compatible.
//
// Memory: that of the stage (core/pipeline/stages.h), the token ids of the calibration rows, one packed layer.
class PipelineExecutor final : public TaskExecutor {
 public:
  PipelineExecutor(Backend& backend, const Storage& storage, const Clock& clock, WorkerMetrics& metrics)
      : backend_(backend), storage_(storage), clock_(clock), metrics_(metrics) {}

  // Errors: those of core/pipeline, core/format, core/text and Storage; Cancelled from the session.
  absl::StatusOr<TaskResult> Execute(const TaskGrant& grant, TaskSession& session) override;

 private:
  Backend& backend_;
  const Storage& storage_;
  const Clock& clock_;
  WorkerMetrics& metrics_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_PIPELINE_EXECUTOR_H_
