#include "server/planner.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

int ShardLayers(const JobSpec& spec, int layer_count) {
  if (spec.shard_layers > 0) return std::min(spec.shard_layers, layer_count);
  switch (spec.propagation) {
    case PropagationMode::kSequential: return layer_count;
    case PropagationMode::kParallel: return (layer_count + kDefaultParallelShards - 1) / kDefaultParallelShards;
  }
  return layer_count;
}

// Adds tasks one after the other, numbering them by kind.
class PlanBuilder {
 public:
  PlanBuilder(std::string_view job_id, int layer_count) : job_id_(job_id), layer_count_(layer_count) {}

  TaskDescription& Add(TaskKind kind) {
    TaskDescription task;
    task.task_id = absl::StrCat(job_id_, "/", std::string(Name(kind)), "-", count_[static_cast<std::size_t>(kind)]++);
    task.index = static_cast<int>(tasks_.size());
    task.kind = kind;
    task.layers = {0, layer_count_};
    tasks_.push_back(std::move(task));
    return tasks_.back();
  }

  std::vector<TaskDescription> Take() { return std::move(tasks_); }

 private:
  const std::string job_id_;
  const int layer_count_;
  std::array<int, kAllTaskKinds.size()> count_{};
  std::vector<TaskDescription> tasks_;
};

// A task over one shard that reads the boundary which `producer` leaves. Returns its index.
int AddShardTask(TaskKind kind, LayerRange shard, std::optional<int> producer, PlanBuilder& builder) {
  TaskDescription& task = builder.Add(kind);
  task.layers = shard;
  task.input_boundary_of = producer;
  if (producer) task.dependencies = {*producer};
  return task.index;
}

}  // namespace

absl::StatusOr<JobPlan> PlanJob(const JobSpec& spec, int layer_count, std::string_view job_id) {
  if (layer_count < 1 || layer_count > kMaxPlannedLayers) {
    return absl::InvalidArgumentError(absl::StrCat("model has ", layer_count, " decoder layers; between 1 and ",
                                                   kMaxPlannedLayers, " are supported"));
  }
  const int shard_layers = ShardLayers(spec, layer_count);
  std::vector<LayerRange> shards;
  for (int begin = 0; begin < layer_count; begin += shard_layers) {
    shards.push_back({begin, std::min(begin + shard_layers, layer_count)});
  }

  // boundary_of[s]: the task that leaves the boundary in front of shard s.
  std::vector<std::optional<int>> boundary_of(shards.size());
  PlanBuilder builder(job_id, layer_count);
  if (spec.propagation == PropagationMode::kParallel) {
    for (std::size_t s = 0; s + 1 < shards.size(); ++s) {
      boundary_of[s + 1] = AddShardTask(TaskKind::kCapture, shards[s], boundary_of[s], builder);
    }
  }
  std::vector<int> quantize;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    quantize.push_back(AddShardTask(TaskKind::kQuantize, shards[s], boundary_of[s], builder));
    if (spec.propagation == PropagationMode::kSequential && s + 1 < shards.size()) boundary_of[s + 1] = quantize.back();
  }
  TaskDescription& finalize = builder.Add(TaskKind::kFinalize);
  finalize.dependencies = quantize;
  const int finalize_index = finalize.index;
  if (!spec.evaluation_uri.empty()) {
    builder.Add(TaskKind::kEvaluate).target = EvaluationTarget::kSource;
    TaskDescription& quantized = builder.Add(TaskKind::kEvaluate);
    quantized.target = EvaluationTarget::kQuantized;
    quantized.dependencies = {finalize_index};
  }

  JobPlan plan = {.shard_layers = shard_layers, .tasks = builder.Take()};
  for (const std::optional<int>& producer : boundary_of) {
    if (producer) plan.tasks[*producer].output_boundary_wanted = true;
  }
  return plan;
}

}  // namespace gptvq
