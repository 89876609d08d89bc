#include "worker/worker_metrics.h"

#include <array>
#include <string>
#include <utility>

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

constexpr std::array kAllCheckpointEnds = {CheckpointEnd::kKept, CheckpointEnd::kFailed, CheckpointEnd::kUsed,
                                           CheckpointEnd::kUnusable};

Counter& CheckpointCounter(MetricsRegistry& registry, CheckpointEnd end) {
  return registry.AddCounter("checkpoints_total", "Checkpoints that were kept or not, and resumed from or not.",
                             {{"result", std::string(Name(end))}});
}

Counter& PhaseCounter(MetricsRegistry& registry, TaskPhase phase) {
  return registry.AddCounter("phase_seconds_total", "Wall time of tasks, by phase, while they run.",
                             {{"phase", std::string(Name(phase))}});
}

Counter& StageCounter(MetricsRegistry& registry, std::string_view stage) {
  return registry.AddCounter("linear_stage_seconds_total",
                             "Wall time of published linears, by stage of the recipe; those side by side count each.",
                             {{"stage", std::string(stage)}});
}

// The stages of the recipe, as docs/numerics.md calls them.
std::array<std::pair<std::string_view, double>, 5> Stages(const PhaseSeconds& seconds) {
  return {{{"factor", seconds.factor},
           {"clustering", seconds.clustering},
           {"sweep", seconds.sweep},
           {"update", seconds.update},
           {"refinement", seconds.refinement}}};
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

std::string_view Name(CheckpointEnd end) {
  switch (end) {
    case CheckpointEnd::kKept: return "kept";
    case CheckpointEnd::kFailed: return "failed";
    case CheckpointEnd::kUsed: return "used";
    case CheckpointEnd::kUnusable: return "unusable";
  }
  return "";
}

WorkerMetrics::WorkerMetrics(MetricsRegistry& registry)
    : call_retries(registry.AddCounter("call_retries_total", "Calls to the coordinator that were repeated.")),
      lease_losses(registry.AddCounter("lease_losses_total", "Leases that ended before their task did.")),
      read_bytes(registry.AddCounter("read_bytes_total", "Bytes read of models, texts and artifacts.")),
      written_bytes(registry.AddCounter("written_bytes_total", "Bytes written of boundaries and results.")),
      layer_seconds(
          registry.AddHistogram("layer_seconds", "Time from one published layer to the next.", buckets::TaskSeconds())),
      slots(registry.AddGauge("slots", "Device slots.")),
      busy_slots(registry.AddGauge("busy_slots", "Device slots that hold a task.")),
      registry_(registry),
      published_layers_(registry.AddCounter("published_layers_total", "Layers that the coordinator took.")),
      published_weights_(registry.AddCounter("published_weights_total", "Weights of the layers the coordinator took.")),
      published_bytes_(registry.AddCounter("published_bytes_total", "Bytes of packed layers the coordinator took.")),
      resumed_linears_(registry.AddCounter("resumed_linears_total",
                                           "Linears that were taken from a checkpoint instead of being computed.")),
      relative_error_(registry.AddHistogram("linear_relative_error",
                                            "tr(E H E^T) / tr(W H W^T) of the linears that this worker quantized.",
                                            buckets::RelativeErrors())) {
  for (const TaskKind kind : kAllTaskKinds) {
    TaskSecondsHistogram(registry, kind);
    for (const TaskEnd end : kAllTaskEnds) TaskCounter(registry, kind, end);
  }
  for (const TaskPhase phase : kAllTaskPhases) PhaseCounter(registry, phase);
  for (const CheckpointEnd end : kAllCheckpointEnds) CheckpointCounter(registry, end);
  for (const auto& [stage, seconds] : Stages({})) StageCounter(registry, stage);
}

void WorkerMetrics::CountTask(TaskKind kind, TaskEnd end, double seconds) {
  TaskCounter(registry_, kind, end).Increment();
  TaskSecondsHistogram(registry_, kind).Observe(seconds);
}

void WorkerMetrics::CountPhase(const TaskPhaseSeconds& phase) {
  PhaseCounter(registry_, phase.phase).Increment(phase.seconds);
}

void WorkerMetrics::CountLayer(std::size_t packed_bytes, const std::vector<LinearReport>& linears) {
  published_layers_.Increment();
  published_bytes_.Increment(static_cast<double>(packed_bytes));
  for (const LinearReport& linear : linears) {
    published_weights_.Increment(static_cast<double>(linear.bits.weights));
    relative_error_.Observe(linear.relative_error);
    for (const auto& [stage, seconds] : Stages(linear.seconds)) StageCounter(registry_, stage).Increment(seconds);
  }
}

void WorkerMetrics::CountCheckpoint(CheckpointEnd end, std::size_t linears) {
  CheckpointCounter(registry_, end).Increment();
  if (end == CheckpointEnd::kUsed) resumed_linears_.Increment(static_cast<double>(linears));
}

void WorkerMetrics::ShowSlot(const DeviceSlot& slot, std::function<double()> read_used_bytes) {
  const MetricLabels labels = {{"slot", slot.name}};
  registry_.AddGauge("slot_memory_bytes", "Memory of the slot's device, or its share of the host's.", labels)
      .Set(static_cast<double>(slot.memory_bytes));
  if (read_used_bytes == nullptr) return;
  registry_.AddGaugeReader("slot_used_memory_bytes", "Memory in use on the slot's device, by everybody.",
                           std::move(read_used_bytes), labels);
}

void WorkerMetrics::ShowHealth(const DeviceHealth& health, std::uint64_t faults) {
  const MetricLabels labels = {{"slot", health.slot}};
  registry_.AddGauge("slot_usable", "1 while the slot's device may be given tasks.", labels)
      .Set(IsUsable(health.condition) ? 1 : 0);
  registry_
      .AddGauge("slot_uncorrected_errors", "Uncorrected errors of the device's memory since its driver was loaded.",
                labels)
      .Set(static_cast<double>(health.uncorrected_errors));
  registry_.AddGauge("slot_faults", "Faults of the device since the worker started, by Xid.", labels)
      .Set(static_cast<double>(faults));
}

}  // namespace gptvq
