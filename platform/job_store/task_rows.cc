#include "platform/job_store/task_rows.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/row_values.h"
#include "platform/rpc/record_codec.h"

namespace gptvq {
namespace {

constexpr char kTaskColumns[] =
    "task_index, task_id, kind, layer_begin, layer_end, input_boundary_of, output_boundary_wanted, target, revision, "
    "state, epoch, attempt, worker_name, incarnation, poll_id, failures_uncounted, failures_transient, failures_bug, "
    "failures_lost, last_failure, result, failed_attempts, repair, checkpoint, most_linears, audit";

constexpr std::array kTargets = {EvaluationTarget::kSource, EvaluationTarget::kQuantized};

// Leaves `value` as it is where the column is NULL.
template <typename Decode, typename Value>
absl::Status ReadIfAny(SqlRow& row, Decode decode, Value& value) {
  if (row.IsNull()) {
    row.Skip();
    return absl::OkStatus();
  }
  GPTVQ_ASSIGN_OR_RETURN(value, decode(row.Bytes()));
  return absl::OkStatus();
}

// The columns from `revision` on, in the order of the schema.
void BindTaskStatus(const TaskStatus& status, SqlStatement& statement) {
  statement.Bind(status.revision).Bind(Name(status.state)).Bind(status.epoch).Bind(status.attempt);
  statement.Bind(status.worker_name).Bind(status.incarnation).Bind(status.poll_id);
  statement.Bind(status.failures.uncounted).Bind(status.failures.transient);
  statement.Bind(status.failures.bug).Bind(status.failures.lost);
  BindFailure(status.last_failure, statement);
  status.result ? statement.BindBlob(EncodeTaskResult(*status.result)) : statement.BindNull();
  status.failed_attempts.empty() ? statement.BindNull()
                                 : statement.BindBlob(EncodeFailedAttempts(status.failed_attempts));
  status.repair == RepairStatus() ? statement.BindNull() : statement.BindBlob(EncodeRepairStatus(status.repair));
  status.checkpoint ? statement.BindBlob(EncodeTaskCheckpoint(*status.checkpoint)) : statement.BindNull();
  statement.Bind(status.most_linears);
  status.audit == AuditStatus() ? statement.BindNull() : statement.BindBlob(EncodeAuditStatus(status.audit));
}

SqlStatement InsertTaskRow(std::int64_t sequence, const Task& task) {
  const TaskDescription& description = task.description;
  SqlStatement statement(
      absl::StrCat("INSERT INTO tasks (sequence, ", kTaskColumns, ") VALUES (", Placeholders(27, 1), ")"));
  statement.Bind(sequence).Bind(description.index).Bind(description.task_id).Bind(Name(description.kind));
  statement.Bind(description.layers.begin).Bind(description.layers.end);
  statement.Bind(description.input_boundary_of ? std::optional<std::int64_t>(*description.input_boundary_of)
                                               : std::nullopt);
  statement.Bind(std::int64_t{description.output_boundary_wanted});
  statement.Bind(description.target ? Name(*description.target) : std::string_view());
  BindTaskStatus(task.status, statement);
  return statement;
}

absl::StatusOr<Task> ReadTaskRow(SqlRow& row) {
  Task task;
  TaskDescription& description = task.description;
  description.index = static_cast<int>(row.Integer());
  description.task_id = row.Bytes();
  GPTVQ_ASSIGN_OR_RETURN(description.kind, ParseName(kAllTaskKinds, row.Bytes()));
  description.layers.begin = static_cast<int>(row.Integer());
  description.layers.end = static_cast<int>(row.Integer());
  if (const auto producer = row.OptionalInteger()) description.input_boundary_of = static_cast<int>(*producer);
  description.output_boundary_wanted = row.Integer() != 0;
  const std::string target = row.Bytes();
  if (!target.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(description.target, ParseName(kTargets, target));
  }
  TaskStatus& status = task.status;
  status.revision = row.Integer();
  GPTVQ_ASSIGN_OR_RETURN(status.state, ParseName(kAllTaskStates, row.Bytes()));
  status.epoch = row.Integer();
  status.attempt = static_cast<int>(row.Integer());
  status.worker_name = row.Bytes();
  status.incarnation = row.Bytes();
  status.poll_id = row.Bytes();
  status.failures.uncounted = static_cast<int>(row.Integer());
  status.failures.transient = static_cast<int>(row.Integer());
  status.failures.bug = static_cast<int>(row.Integer());
  status.failures.lost = static_cast<int>(row.Integer());
  GPTVQ_ASSIGN_OR_RETURN(status.last_failure, ReadFailure(row));
  GPTVQ_RETURN_IF_ERROR(ReadIfAny(row, DecodeTaskResult, status.result));
  GPTVQ_RETURN_IF_ERROR(ReadIfAny(row, DecodeFailedAttempts, status.failed_attempts));
  GPTVQ_RETURN_IF_ERROR(ReadIfAny(row, DecodeRepairStatus, status.repair));
  GPTVQ_RETURN_IF_ERROR(ReadIfAny(row, DecodeTaskCheckpoint, status.checkpoint));
  status.most_linears = static_cast<int>(row.Integer());
  GPTVQ_RETURN_IF_ERROR(ReadIfAny(row, DecodeAuditStatus, status.audit));
  return task;
}

absl::Status ReadTasks(SqlDatabase& database, JobSnapshot& job) {
  const std::int64_t sequence = job.description.sequence;
  const std::string select_tasks =
      absl::StrCat("SELECT ", kTaskColumns, " FROM tasks WHERE sequence=$1 ORDER BY task_index");
  GPTVQ_ASSIGN_OR_RETURN(SqlRows tasks, database.Run(SqlStatement(select_tasks).Bind(sequence)));
  for (SqlRow& row : tasks) {
    GPTVQ_ASSIGN_OR_RETURN(Task task, ReadTaskRow(row));
    if (task.description.index != static_cast<int>(job.tasks.size())) {
      return absl::DataLossError(absl::StrCat("job ", job.description.job_id, ": a task is missing in the journal"));
    }
    job.tasks.push_back(std::move(task));
  }
  GPTVQ_ASSIGN_OR_RETURN(SqlRows dependencies,
                         database.Run(SqlStatement("SELECT task_index, depends_on FROM task_dependencies "
                                                   "WHERE sequence=$1 ORDER BY task_index, depends_on")
                                          .Bind(sequence)));
  for (SqlRow& row : dependencies) {
    const auto index = static_cast<std::size_t>(row.Integer());
    if (index >= job.tasks.size()) return absl::DataLossError("a dependency names no task");
    job.tasks[index].description.dependencies.push_back(static_cast<int>(row.Integer()));
  }
  return absl::OkStatus();
}

}  // namespace

void AppendTaskRows(std::int64_t sequence, const std::vector<Task>& tasks, std::vector<SqlStatement>& statements) {
  for (const Task& task : tasks) statements.push_back(InsertTaskRow(sequence, task));
  for (const Task& task : tasks) {
    for (int dependency : task.description.dependencies) {
      statements.push_back(SqlStatement("INSERT INTO task_dependencies VALUES ($1,$2,$3)"));
      statements.back().Bind(sequence).Bind(task.description.index).Bind(dependency);
    }
  }
}

SqlStatement UpdateTaskRow(std::int64_t sequence, const Transition::TaskChange& change) {
  SqlStatement statement(
      "UPDATE tasks SET revision=$1, state=$2, epoch=$3, attempt=$4, worker_name=$5, incarnation=$6, poll_id=$7, "
      "failures_uncounted=$8, failures_transient=$9, failures_bug=$10, failures_lost=$11, last_failure=$12, "
      "result=$13, failed_attempts=$14, repair=$15, checkpoint=$16, most_linears=$17, audit=$18 "
      "WHERE sequence=$19 AND task_index=$20 AND revision=$21");
  BindTaskStatus(change.status, statement);
  statement.Bind(sequence).Bind(change.index).Bind(change.status.revision - 1);
  return statement.MustChangeOneRow(absl::StrCat("task ", change.index, " of job number ", sequence));
}

SqlStatement InsertLayerRow(std::int64_t sequence, const Transition::LayerChange& change) {
  SqlStatement statement("INSERT INTO layers VALUES ($1,$2,$3,$4,$5)");
  statement.Bind(sequence).Bind(change.layer.layer).Bind(change.task_id).Bind(change.epoch);
  return statement.BindBlob(EncodePublishedLayer(change.layer));
}

SqlStatement DeleteLayerRow(std::int64_t sequence, int layer) {
  SqlStatement statement("DELETE FROM layers WHERE sequence=$1 AND layer=$2");
  statement.Bind(sequence).Bind(layer);
  return statement.MustChangeOneRow(absl::StrCat("layer ", layer, " of job number ", sequence));
}

absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(SqlDatabase& database, std::int64_t sequence) {
  GPTVQ_ASSIGN_OR_RETURN(
      SqlRows rows,
      database.Run(SqlStatement("SELECT record FROM layers WHERE sequence=$1 ORDER BY layer").Bind(sequence)));
  std::vector<PublishedLayer> layers;
  for (SqlRow& row : rows) {
    GPTVQ_ASSIGN_OR_RETURN(PublishedLayer layer, DecodePublishedLayer(row.Bytes()));
    layers.push_back(std::move(layer));
  }
  return layers;
}

absl::Status ReadTasksAndLayers(SqlDatabase& database, JobSnapshot& job) {
  GPTVQ_RETURN_IF_ERROR(ReadTasks(database, job));
  job.layers.assign(job.description.layer_count, Digest());
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<PublishedLayer> layers, ReadLayers(database, job.description.sequence));
  for (const PublishedLayer& layer : layers) {
    if (layer.layer >= job.description.layer_count) return absl::DataLossError("a layer is none of the model");
    job.layers[layer.layer] = layer.artifact;
  }
  return absl::OkStatus();
}

}  // namespace gptvq
