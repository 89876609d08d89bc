#include "worker/worker_metrics.h"

#include <array>
#include <string>

namespace gptvq {
namespace {

constexpr std::array kAllTaskEnds = {TaskEnd::kCompleted, TaskEnd::kFailed, TaskEnd::kReleased, TaskEnd::kLost};

Counter& TaskCounter(MetricsRegistry& registry, TaskKind kind, TaskEnd end) {
  return registry.AddCounter("tasks_total", "Leases that ended, by kind of task and how.",
                             {{"kind", std::string(Name(kind))}, {"result", std::string(Name(end))}});
}

Histogram& TaskSecondsHistogram(MetricsRegistry& registry, TaskKind kind) {
  return registry.AddHistogram("task_seconds", "Time from grant to end of a lease, by kind of task.",
                               buckets::TaskSeconds(), {{"kind", std::string(Name(kind))}});
}

Counter& PhaseCounter(MetricsRegistry& registry, TaskPhase phase) {
  return registry.AddCounter("phase_seconds_total", "Time spent in completed tasks, by phase.",
                             {{"phase", std::string(Name(phase))}});
}

}  // namespace

std::string_view Name(TaskEnd end) {
  switch (end) {
    case TaskEnd::kCompleted: return "completed";
    case TaskEnd::kFailed: return "failed";
    case TaskEnd::kReleased: return "released";
    case TaskEnd::kLost: return "lost";
  }
  return "";
}

WorkerMetrics::WorkerMetrics(MetricsRegistry& registry)
    : call_retries(registry.AddCounter("call_retries_total", "Calls to the coordinator that were repeated.")),
      lease_losses(registry.AddCounter("lease_losses_total", "Leases that ended before their task did.")),
      published_bytes(registry.AddCounter("published_bytes_total", "Bytes of packed layers the coordinator took.")),
      read_bytes(registry.AddCounter("read_bytes_total", "Bytes read of models, texts and artifacts.")),
      layer_seconds(
          registry.AddHistogram("layer_seconds", "Time from one published layer to the next.", buckets::TaskSeconds())),
      relative_error(registry.AddHistogram("relative_error_ratio", "Relative error of quantized linears.",
                                           buckets::RelativeErrors())),
      slots(registry.AddGauge("slots_count", "Device slots.")),
      busy_slots(registry.AddGauge("busy_slots_count", "Device slots that hold a task.")),
      registry_(registry) {
  for (const TaskKind kind : kAllTaskKinds) {
    TaskSecondsHistogram(registry, kind);
    for (const TaskEnd end : kAllTaskEnds) TaskCounter(registry, kind, end);
  }
  for (const TaskPhase phase : kAllTaskPhases) PhaseCounter(registry, phase);
}

void WorkerMetrics::CountTask(TaskKind kind, TaskEnd end, double seconds) {
  TaskCounter(registry_, kind, end).Increment();
  TaskSecondsHistogram(registry_, kind).Observe(seconds);
}

void WorkerMetrics::CountPhase(const TaskPhaseSeconds& phase) {
  PhaseCounter(registry_, phase.phase).Increment(phase.seconds);
}

}  // namespace gptvq
