#ifndef GPTVQ_WORKER_WORKER_METRICS_H_
#define GPTVQ_WORKER_WORKER_METRICS_H_

#include <string_view>

#include "platform/job/task.h"
#include "platform/job/task_result.h"
#include "platform/metrics.h"

namespace gptvq {

// How a lease ended, as seen from here.
enum class TaskEnd { kCompleted, kFailed, kReleased, kLost };

std::string_view Name(TaskEnd end);  // completed, failed, released, lost

// The metrics of a worker, gptvq_worker_*. Registers everything when built, so that every series is there from the
// first scrape. Thread-safe.
class WorkerMetrics {
 public:
  explicit WorkerMetrics(MetricsRegistry& registry);

  void CountTask(TaskKind kind, TaskEnd end, double seconds);
  void CountPhase(const TaskPhaseSeconds& phase);

  Counter& call_retries;
  Counter& lease_losses;
  Counter& published_bytes;
  Counter& read_bytes;
  Histogram& layer_seconds;
  Histogram& relative_error;
  Gauge& slots;
  Gauge& busy_slots;

 private:
  MetricsRegistry& registry_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_WORKER_METRICS_H_
