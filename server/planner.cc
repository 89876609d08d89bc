#include "server/planner.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "server/scheduler/audit_choice.h"

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

  const std::vector<TaskDescription>& tasks() const { return tasks_; }
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

// Behind everything that is audited: workers take what unblocks others first.
void AddAudits(double fraction, PlanBuilder& builder) {
  const std::size_t task_count = builder.tasks().size();
  for (std::size_t i = 0; i < task_count; ++i) {
    if (!IsAudited(builder.tasks()[i].task_id, fraction)) continue;
    TaskDescription& audit = builder.Add(TaskKind::kAudit);
    const TaskDescription& audited = builder.tasks()[i];
    audit.layers = audited.layers;
    audit.input_boundary_of = audited.input_boundary_of;
    audit.dependencies = audited.dependencies;
    audit.dependencies.push_back(audited.index);  // the latest: AuditedBy
  }
}

}  // namespace

absl::StatusOr<JobPlan> PlanJob(const JobSpec& spec, int layer_count, std::string_view job_id, double audit_fraction) {
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
  AddAudits(audit_fraction, builder);
  std::vector<int> before_finalize = quantize;
  if (audit_fraction > 0) {
    before_finalize.resize(builder.tasks().size());
    std::iota(before_finalize.begin(), before_finalize.end(), 0);
  }
  TaskDescription& finalize = builder.Add(TaskKind::kFinalize);
  finalize.dependencies = before_finalize;
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
  for (TaskDescription& task : plan.tasks) {
    if (const auto audited = AuditedBy(task)) task.output_boundary_wanted = plan.tasks[*audited].output_boundary_wanted;
  }
  return plan;
}

}  // namespace gptvq
