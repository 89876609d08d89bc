#ifndef GPTVQ_WORKER_WORKER_METRICS_H_
#define GPTVQ_WORKER_WORKER_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/spec/linear_report.h"
#include "platform/job/device_health.h"
#include "platform/job/device_slot.h"
#include "platform/job/task.h"
#include "platform/job/task_result.h"
#include "platform/metrics.h"

namespace gptvq {

// How a lease ended, as seen from here.
enum class TaskEnd { kCompleted, kFailed, kReleased, kLost };

// What became of a checkpoint.
enum class CheckpointEnd { kKept, kFailed, kUsed, kUnusable };

std::string_view Name(CheckpointEnd end);  // kept, failed, used, unusable

std::string_view Name(TaskEnd end);  // completed, failed, released, lost

// The metrics of a worker, gptvq_worker_*. Registers everything but the slots when built, so that every series is there
// from the first scrape. Thread-safe.
class WorkerMetrics {
 public:
  explicit WorkerMetrics(MetricsRegistry& registry);

  void CountTask(TaskKind kind, TaskEnd end, double seconds);
  // Time that a running task spent in a phase; to be told while it goes on.
  void CountPhase(const TaskPhaseSeconds& phase);
  // A layer that the coordinator took.
  void CountLayer(std::size_t packed_bytes, const std::vector<LinearReport>& linears);
  // A checkpoint that was, or was not, kept of `linears` linears; or that was, or could not be, resumed from.
  void CountCheckpoint(CheckpointEnd end, std::size_t linears);
  // Shows the memory of a slot, and how much of it is in use where its device says so: `read_used_bytes` may be empty,
  // must otherwise be thread-safe and outlive the last scrape.
  void ShowSlot(const DeviceSlot& slot, std::function<double()> read_used_bytes);

  // Shows the health of a slot's device as it is now; `faults` are those that it had since the worker started.
  void ShowHealth(const DeviceHealth& health, std::uint64_t faults);

  Counter& call_retries;
  Counter& lease_losses;
  Counter& read_bytes;
  Counter& written_bytes;
  Histogram& layer_seconds;
  Gauge& slots;
  Gauge& busy_slots;

 private:
  MetricsRegistry& registry_;
  Counter& published_layers_;
  Counter& published_weights_;
  Counter& published_bytes_;
  Counter& resumed_linears_;
  Histogram& relative_error_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_WORKER_METRICS_H_
