#include "platform/job_store/sqlite_rows.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/rpc/record_codec.h"

namespace gptvq {
namespace {

constexpr char kJobColumns[] =
    "sequence, job_id, request_id, spec, layer_count, shard_layers, task_count, create_time_us, revision, state, "
    "numerics_class, end_time_us, failure, published_layers, committed_tasks, last_event_seq";
constexpr char kTaskColumns[] =
    "task_index, task_id, kind, layer_begin, layer_end, input_boundary_of, output_boundary_wanted, target, revision, "
    "state, epoch, attempt, worker_name, incarnation, poll_id, failures_uncounted, failures_transient, failures_bug, "
    "failures_lost, last_failure, result";

constexpr std::array kTargets = {EvaluationTarget::kSource, EvaluationTarget::kQuantized};

std::int64_t Micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

template <typename Enums>
absl::StatusOr<typename Enums::value_type> ParseName(const Enums& all, const std::string& text) {
  for (const auto value : all) {
    if (Name(value) == text) return value;
  }
  return absl::DataLossError(absl::StrCat("unknown value '", text, "' in the journal"));
}

absl::Status RunGuarded(SqliteDatabase& database, SqliteStatement& statement, absl::string_view what) {
  GPTVQ_RETURN_IF_ERROR(statement.Run());
  if (database.changed_rows() == 1) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(what, " was changed by somebody else"));
}

void BindFailure(const std::optional<TaskFailure>& failure, SqliteStatement& statement) {
  failure ? statement.BindBlob(EncodeTaskFailure(*failure)) : statement.BindNull();
}

absl::StatusOr<std::optional<TaskFailure>> ReadFailure(SqliteStatement& row) {
  if (row.IsNull()) {
    row.Skip();
    return std::nullopt;
  }
  GPTVQ_ASSIGN_OR_RETURN(TaskFailure failure, DecodeTaskFailure(row.Bytes()));
  return std::optional(std::move(failure));
}

// The columns from `revision` on, in the order of the schema.
void BindJobStatus(const JobStatus& status, SqliteStatement& statement) {
  statement.Bind(status.revision).Bind(Name(status.state)).Bind(status.numerics_class);
  status.end_time ? statement.Bind(Micros(*status.end_time)) : statement.BindNull();
  BindFailure(status.failure, statement);
  statement.Bind(status.published_layers).Bind(status.committed_tasks).Bind(status.last_event_seq);
}

void BindTaskStatus(const TaskStatus& status, SqliteStatement& statement) {
  statement.Bind(status.revision).Bind(Name(status.state)).Bind(status.epoch).Bind(status.attempt);
  statement.Bind(status.worker_name).Bind(status.incarnation).Bind(status.poll_id);
  statement.Bind(status.failures.uncounted).Bind(status.failures.transient);
  statement.Bind(status.failures.bug).Bind(status.failures.lost);
  BindFailure(status.last_failure, statement);
  status.result ? statement.BindBlob(EncodeTaskResult(*status.result)) : statement.BindNull();
}

absl::StatusOr<JobSnapshot> ReadJobRow(SqliteStatement& row) {
  JobSnapshot job;
  job.description.sequence = row.Integer();
  job.description.job_id = row.Bytes();
  job.description.request_id = row.Bytes();
  GPTVQ_ASSIGN_OR_RETURN(job.description.spec, DecodeJobSpec(row.Bytes()));
  job.description.layer_count = static_cast<int>(row.Integer());
  job.description.shard_layers = static_cast<int>(row.Integer());
  job.description.task_count = static_cast<int>(row.Integer());
  job.description.create_time = FromMicros(row.Integer());
  job.status.revision = row.Integer();
  GPTVQ_ASSIGN_OR_RETURN(job.status.state, ParseName(kAllJobStates, row.Bytes()));
  job.status.numerics_class = row.Bytes();
  if (const auto end_time = row.OptionalInteger()) job.status.end_time = FromMicros(*end_time);
  GPTVQ_ASSIGN_OR_RETURN(job.status.failure, ReadFailure(row));
  job.status.published_layers = static_cast<int>(row.Integer());
  job.status.committed_tasks = static_cast<int>(row.Integer());
  job.status.last_event_seq = row.Integer();
  return job;
}

absl::StatusOr<Task> ReadTaskRow(SqliteStatement& row) {
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
  if (!row.IsNull()) {
    GPTVQ_ASSIGN_OR_RETURN(status.result, DecodeTaskResult(row.Bytes()));
  }
  return task;
}

absl::Status InsertTask(std::int64_t sequence, const Task& task, SqliteStatement& tasks,
                        SqliteStatement& dependencies) {
  const TaskDescription& description = task.description;
  tasks.Bind(sequence).Bind(description.index).Bind(description.task_id).Bind(Name(description.kind));
  tasks.Bind(description.layers.begin).Bind(description.layers.end);
  tasks.Bind(description.input_boundary_of ? std::optional<std::int64_t>(*description.input_boundary_of)
                                           : std::nullopt);
  tasks.Bind(std::int64_t{description.output_boundary_wanted});
  tasks.Bind(description.target ? Name(*description.target) : std::string_view());
  BindTaskStatus(task.status, tasks);
  GPTVQ_RETURN_IF_ERROR(tasks.Run());
  for (int dependency : description.dependencies) {
    GPTVQ_RETURN_IF_ERROR(dependencies.Bind(sequence).Bind(description.index).Bind(dependency).Run());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status InsertJob(SqliteDatabase& database, const JobSnapshot& job) {
  const JobDescription& description = job.description;
  GPTVQ_ASSIGN_OR_RETURN(
      SqliteStatement jobs,
      database.Prepare(absl::StrCat("INSERT INTO jobs (", kJobColumns, ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")));
  jobs.Bind(description.sequence).Bind(description.job_id).Bind(description.request_id);
  jobs.BindBlob(EncodeJobSpec(description.spec)).Bind(description.layer_count).Bind(description.shard_layers);
  jobs.Bind(description.task_count).Bind(Micros(description.create_time));
  BindJobStatus(job.status, jobs);
  GPTVQ_RETURN_IF_ERROR(jobs.Run());

  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement tasks,
                         database.Prepare(absl::StrCat("INSERT INTO tasks (sequence, ", kTaskColumns,
                                                       ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")));
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement dependencies,
                         database.Prepare("INSERT INTO task_dependencies VALUES (?,?,?)"));
  for (const Task& task : job.tasks) {
    GPTVQ_RETURN_IF_ERROR(InsertTask(description.sequence, task, tasks, dependencies));
  }
  return absl::OkStatus();
}

absl::Status UpdateJob(SqliteDatabase& database, std::int64_t sequence, const JobStatus& status) {
  GPTVQ_ASSIGN_OR_RETURN(
      SqliteStatement statement,
      database.Prepare("UPDATE jobs SET revision=?, state=?, numerics_class=?, end_time_us=?, failure=?, "
                       "published_layers=?, committed_tasks=?, last_event_seq=? WHERE sequence=? AND revision=?"));
  BindJobStatus(status, statement);
  statement.Bind(sequence).Bind(status.revision - 1);
  return RunGuarded(database, statement, absl::StrCat("job number ", sequence));
}

absl::Status UpdateTask(SqliteDatabase& database, std::int64_t sequence, const Transition::TaskChange& change) {
  GPTVQ_ASSIGN_OR_RETURN(
      SqliteStatement statement,
      database.Prepare("UPDATE tasks SET revision=?, state=?, epoch=?, attempt=?, worker_name=?, incarnation=?, "
                       "poll_id=?, failures_uncounted=?, failures_transient=?, failures_bug=?, failures_lost=?, "
                       "last_failure=?, result=? WHERE sequence=? AND task_index=? AND revision=?"));
  BindTaskStatus(change.status, statement);
  statement.Bind(sequence).Bind(change.index).Bind(change.status.revision - 1);
  return RunGuarded(database, statement, absl::StrCat("task ", change.index, " of job number ", sequence));
}

absl::Status InsertLayer(SqliteDatabase& database, std::int64_t sequence, const Transition::LayerChange& change) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database.Prepare("INSERT INTO layers VALUES (?,?,?,?,?)"));
  statement.Bind(sequence).Bind(change.layer.layer).Bind(change.task_id).Bind(change.epoch);
  return statement.BindBlob(EncodePublishedLayer(change.layer)).Run();
}

absl::Status InsertEvents(SqliteDatabase& database, std::int64_t sequence, const std::vector<JobEvent>& events) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database.Prepare("INSERT INTO events VALUES (?,?,?)"));
  for (const JobEvent& event : events) {
    GPTVQ_RETURN_IF_ERROR(statement.Bind(sequence).Bind(event.seq).BindBlob(EncodeJobEvent(event)).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JobSnapshot>> SelectJobs(SqliteDatabase& database, std::string_view where_and_order,
                                                    absl::FunctionRef<void(SqliteStatement&)> bind) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement, database.Prepare(absl::StrCat("SELECT ", kJobColumns, " FROM jobs ",
                                                                                  std::string(where_and_order))));
  bind(statement);
  std::vector<JobSnapshot> jobs;
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) return jobs;
    GPTVQ_ASSIGN_OR_RETURN(JobSnapshot job, ReadJobRow(statement));
    jobs.push_back(std::move(job));
  }
}

absl::Status LoadTasksAndLayers(SqliteDatabase& database, JobSnapshot& job) {
  const std::int64_t sequence = job.description.sequence;
  GPTVQ_ASSIGN_OR_RETURN(
      SqliteStatement tasks,
      database.Prepare(absl::StrCat("SELECT ", kTaskColumns, " FROM tasks WHERE sequence=? ORDER BY task_index")));
  tasks.Bind(sequence);
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const bool has_row, tasks.Step());
    if (!has_row) break;
    GPTVQ_ASSIGN_OR_RETURN(Task task, ReadTaskRow(tasks));
    if (task.description.index != static_cast<int>(job.tasks.size())) {
      return absl::DataLossError(absl::StrCat("job ", job.description.job_id, ": a task is missing in the journal"));
    }
    job.tasks.push_back(std::move(task));
  }
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement dependencies,
                         database.Prepare("SELECT task_index, depends_on FROM task_dependencies WHERE sequence=? "
                                          "ORDER BY task_index, depends_on"));
  dependencies.Bind(sequence);
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const bool has_row, dependencies.Step());
    if (!has_row) break;
    const auto index = static_cast<std::size_t>(dependencies.Integer());
    if (index >= job.tasks.size()) return absl::DataLossError("a dependency names no task");
    job.tasks[index].description.dependencies.push_back(static_cast<int>(dependencies.Integer()));
  }
  job.layers.assign(job.description.layer_count, Digest());
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<PublishedLayer> layers, SelectLayers(database, sequence));
  for (const PublishedLayer& layer : layers) {
    if (layer.layer >= job.description.layer_count) return absl::DataLossError("a layer is none of the model");
    job.layers[layer.layer] = layer.artifact;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PublishedLayer>> SelectLayers(SqliteDatabase& database, std::int64_t sequence) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement,
                         database.Prepare("SELECT record FROM layers WHERE sequence=? ORDER BY layer"));
  statement.Bind(sequence);
  std::vector<PublishedLayer> layers;
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) return layers;
    GPTVQ_ASSIGN_OR_RETURN(PublishedLayer layer, DecodePublishedLayer(statement.Bytes()));
    layers.push_back(std::move(layer));
  }
}

absl::StatusOr<std::vector<JobEvent>> SelectEvents(SqliteDatabase& database, std::int64_t sequence,
                                                   std::int64_t after_seq, int limit) {
  GPTVQ_ASSIGN_OR_RETURN(SqliteStatement statement,
                         database.Prepare("SELECT record FROM events WHERE sequence=? AND seq>? ORDER BY seq LIMIT ?"));
  statement.Bind(sequence).Bind(after_seq).Bind(limit);
  std::vector<JobEvent> events;
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) return events;
    GPTVQ_ASSIGN_OR_RETURN(JobEvent event, DecodeJobEvent(statement.Bytes()));
    events.push_back(std::move(event));
  }
}

}  // namespace gptvq
