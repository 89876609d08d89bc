#include "platform/job_store/job_rows.h"

#include <limits>
#include <map>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/row_values.h"
#include "platform/job_store/store_history.h"
#include "platform/job_store/task_rows.h"
#include "platform/rpc/record_codec.h"

namespace gptvq {
namespace {

constexpr char kJobColumns[] =
    "sequence, job_id, request_id, spec, layer_count, shard_layers, task_count, create_time_us, revision, state, "
    "numerics_class, end_time_us, failure, published_layers, committed_tasks, last_event_seq, owner";
constexpr char kSecretName[] = "secret";
constexpr std::size_t kSecretBytes = 32;

std::int64_t Micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

// The columns from `revision` on, in the order of the schema.
void BindJobStatus(const JobStatus& status, SqlStatement& statement) {
  statement.Bind(status.revision).Bind(Name(status.state)).Bind(status.numerics_class);
  status.end_time ? statement.Bind(Micros(*status.end_time)) : statement.BindNull();
  BindFailure(status.failure, statement);
  statement.Bind(status.published_layers).Bind(status.committed_tasks).Bind(status.last_event_seq);
}

SqlStatement InsertJobRow(const JobSnapshot& job) {
  const JobDescription& description = job.description;
  SqlStatement statement(absl::StrCat("INSERT INTO jobs (", kJobColumns, ") VALUES (", Placeholders(17, 1), ")"));
  statement.Bind(description.sequence).Bind(description.job_id).Bind(description.request_id);
  statement.BindBlob(EncodeJobSpec(description.spec)).Bind(description.layer_count).Bind(description.shard_layers);
  statement.Bind(description.task_count).Bind(Micros(description.create_time));
  BindJobStatus(job.status, statement);
  statement.Bind(description.owner);
  return statement;
}

void AppendCreation(const JobSnapshot& job, std::vector<SqlStatement>& statements) {
  const std::int64_t sequence = job.description.sequence;
  statements.push_back(InsertJobRow(job));
  AppendTaskRows(sequence, job.tasks, statements);
}

SqlStatement UpdateJobRow(std::int64_t sequence, const JobStatus& status) {
  SqlStatement statement(
      "UPDATE jobs SET revision=$1, state=$2, numerics_class=$3, end_time_us=$4, failure=$5, published_layers=$6, "
      "committed_tasks=$7, last_event_seq=$8 WHERE sequence=$9 AND revision=$10");
  BindJobStatus(status, statement);
  statement.Bind(sequence).Bind(status.revision - 1);
  return statement.MustChangeOneRow(absl::StrCat("job number ", sequence));
}

// A blank record is no row.
SqlStatement WriteWorkerRow(const WorkerRecord& record) {
  const std::string subject = absl::StrCat("worker ", record.name);
  const std::int64_t previous = record.revision - 1;
  if (IsBlank(record)) {
    SqlStatement statement("DELETE FROM workers WHERE name=$1 AND revision=$2");
    return statement.Bind(record.name).Bind(previous).MustChangeOneRow(subject);
  }
  if (previous == 0) {
    SqlStatement statement("INSERT INTO workers (name, revision, record) VALUES ($1,$2,$3)");
    return statement.Bind(record.name).Bind(record.revision).BindBlob(EncodeWorkerRecord(record));
  }
  SqlStatement statement("UPDATE workers SET revision=$1, record=$2 WHERE name=$3 AND revision=$4");
  statement.Bind(record.revision).BindBlob(EncodeWorkerRecord(record)).Bind(record.name).Bind(previous);
  return statement.MustChangeOneRow(subject);
}

absl::Status ReadWorkers(SqlDatabase& database, std::vector<WorkerRecord>& workers) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows,
                         database.Run(SqlStatement("SELECT revision, record FROM workers ORDER BY name")));
  for (SqlRow& row : rows) {
    const std::int64_t revision = row.Integer();
    GPTVQ_ASSIGN_OR_RETURN(WorkerRecord record, DecodeWorkerRecord(row.Bytes()));
    record.revision = revision;
    workers.push_back(std::move(record));
  }
  return absl::OkStatus();
}

absl::StatusOr<JobSnapshot> ReadJobRow(SqlRow& row) {
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
  job.description.owner = row.Bytes();
  return job;
}

// Without tasks and layers.
absl::StatusOr<std::vector<JobSnapshot>> ReadJobs(SqlDatabase& database, const SqlStatement& select) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, database.Run(select));
  std::vector<JobSnapshot> jobs;
  for (SqlRow& row : rows) {
    GPTVQ_ASSIGN_OR_RETURN(JobSnapshot job, ReadJobRow(row));
    jobs.push_back(std::move(job));
  }
  return jobs;
}

SqlStatement SelectFromJobs(std::string_view where_and_order) {
  return SqlStatement(absl::StrCat("SELECT ", kJobColumns, " FROM jobs ", std::string(where_and_order)));
}

constexpr char kDoomedColumns[] = "sha256, size_bytes, kind, state, since_us";

SqlStatement StatementOf(const DoomChange& change) {
  const std::string hex = change.row.artifact.hex();
  const auto guarded = [&](std::string text, DoomState before) {
    SqlStatement statement(std::move(text));
    statement.Bind(hex).Bind(Name(before));
    return statement.MustChangeOneRow(absl::StrCat("the doomed artifact ", hex));
  };
  switch (change.step) {
    case DoomStep::kDoom: break;
    case DoomStep::kSpare:
      return guarded("DELETE FROM doomed_artifacts WHERE sha256=$1 AND state=$2", DoomState::kDoomed);
    case DoomStep::kBeginDelete:
      return guarded("UPDATE doomed_artifacts SET state='deleting' WHERE sha256=$1 AND state=$2", DoomState::kDoomed);
    case DoomStep::kForget:
      return guarded("DELETE FROM doomed_artifacts WHERE sha256=$1 AND state=$2", DoomState::kDeleting);
  }
  SqlStatement insert(absl::StrCat("INSERT INTO doomed_artifacts (", kDoomedColumns, ") VALUES ($1,$2,$3,$4,$5)"));
  insert.Bind(hex).Bind(static_cast<std::int64_t>(change.row.artifact.size_bytes())).Bind(Name(change.row.kind));
  return insert.Bind(Name(change.row.state)).Bind(Micros(change.row.since));
}

absl::StatusOr<DoomedArtifact> ReadDoomedRow(SqlRow& row) {
  DoomedArtifact doomed;
  const std::string hex = row.Bytes();
  const absl::StatusOr<Digest> artifact = Digest::FromHex(hex, static_cast<std::uint64_t>(row.Integer()));
  if (!artifact.ok()) return absl::DataLossError(absl::StrCat("'", hex, "' in the journal names no artifact"));
  doomed.artifact = *artifact;
  GPTVQ_ASSIGN_OR_RETURN(doomed.kind, ParseName(kAllArtifactKinds, row.Bytes()));
  GPTVQ_ASSIGN_OR_RETURN(doomed.state, ParseName(kAllDoomStates, row.Bytes()));
  doomed.since = FromMicros(row.Integer());
  return doomed;
}

absl::StatusOr<std::vector<DoomedArtifact>> ReadDoomed(SqlDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(
      SqlRows rows,
      database.Run(SqlStatement(absl::StrCat("SELECT ", kDoomedColumns, " FROM doomed_artifacts ORDER BY sha256"))));
  std::vector<DoomedArtifact> doomed;
  for (SqlRow& row : rows) {
    GPTVQ_ASSIGN_OR_RETURN(DoomedArtifact one, ReadDoomedRow(row));
    doomed.push_back(one);
  }
  return doomed;
}

absl::Status NoJob(std::string_view job_id) {
  return absl::NotFoundError(absl::StrCat("no job ", std::string(job_id)));
}

absl::StatusOr<std::int64_t> SequenceOf(SqlDatabase& database, std::string_view job_id) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows,
                         database.Run(SqlStatement("SELECT sequence FROM jobs WHERE job_id=$1").Bind(job_id)));
  if (rows.empty()) return NoJob(job_id);
  return rows.front().Integer();
}

// The number under which the rows of a transition's job are kept; 0 when it has none.
absl::StatusOr<std::int64_t> SequenceOf(SqlDatabase& database, const Transition& transition) {
  if (transition.created) return transition.created->description.sequence;
  if (transition.job_id.empty()) return 0;
  return SequenceOf(database, transition.job_id);
}

void AppendTransition(const Transition& transition, std::int64_t sequence, std::vector<SqlStatement>& statements) {
  if (transition.created) AppendCreation(*transition.created, statements);
  if (transition.job) statements.push_back(UpdateJobRow(sequence, *transition.job));
  for (const Transition::TaskChange& change : transition.tasks) statements.push_back(UpdateTaskRow(sequence, change));
  for (int layer : transition.overturned_layers) statements.push_back(DeleteLayerRow(sequence, layer));
  if (transition.layer) statements.push_back(InsertLayerRow(sequence, *transition.layer));
  for (const JobEvent& event : transition.events) {
    statements.push_back(SqlStatement("INSERT INTO events VALUES ($1,$2,$3)"));
    statements.back().Bind(sequence).Bind(event.seq).BindBlob(EncodeJobEvent(event));
  }
  for (const DoomChange& change : transition.artifacts) statements.push_back(StatementOf(change));
  for (const WorkerRecord& record : transition.workers) statements.push_back(WriteWorkerRow(record));
}

}  // namespace

absl::StatusOr<std::vector<SqlStatement>> StatementsOf(SqlDatabase& database,
                                                       absl::Span<const Transition* const> transitions) {
  std::vector<SqlStatement> statements;
  std::map<std::string_view, std::int64_t>
      sequences;  // by job id; a job that is created here has no row to ask for yet
  for (const Transition* transition : transitions) {
    const auto [known, is_new] = sequences.try_emplace(transition->job_id, 0);
    if (is_new) {
      GPTVQ_ASSIGN_OR_RETURN(known->second, SequenceOf(database, *transition));
    }
    AppendTransition(*transition, known->second, statements);
  }
  return statements;
}

absl::StatusOr<JobStore::State> SelectActive(SqlDatabase& database) {
  JobStore::State state;
  GPTVQ_ASSIGN_OR_RETURN(state.last_sequence, database.QueryInteger("SELECT coalesce(max(sequence), 0) FROM jobs"));
  GPTVQ_ASSIGN_OR_RETURN(
      state.active_jobs,
      ReadJobs(database, SelectFromJobs("WHERE state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY sequence")));
  for (JobSnapshot& job : state.active_jobs) {
    GPTVQ_RETURN_IF_ERROR(WithContext(ReadTasksAndLayers(database, job), job.description.job_id));
  }
  GPTVQ_ASSIGN_OR_RETURN(state.doomed_artifacts, ReadDoomed(database));
  GPTVQ_RETURN_IF_ERROR(ReadWorkers(database, state.workers));
  GPTVQ_ASSIGN_OR_RETURN(state.generation, SelectGeneration(database));
  return state;
}

absl::StatusOr<JobSnapshot> SelectJob(SqlDatabase& database, std::string_view job_id) {
  GPTVQ_ASSIGN_OR_RETURN(std::vector<JobSnapshot> jobs,
                         ReadJobs(database, SelectFromJobs("WHERE job_id=$1").Bind(job_id)));
  if (jobs.empty()) return NoJob(job_id);
  GPTVQ_RETURN_IF_ERROR(WithContext(ReadTasksAndLayers(database, jobs[0]), job_id));
  return std::move(jobs[0]);
}

absl::StatusOr<std::optional<std::string>> SelectRequest(SqlDatabase& database, std::string_view request_id) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows,
                         database.Run(SqlStatement("SELECT job_id FROM jobs WHERE request_id=$1").Bind(request_id)));
  return rows.empty() ? std::nullopt : std::optional(rows.front().Bytes());
}

absl::StatusOr<std::vector<PublishedLayer>> SelectLayers(SqlDatabase& database, std::string_view job_id) {
  const absl::StatusOr<std::int64_t> sequence = SequenceOf(database, job_id);
  if (absl::IsNotFound(sequence.status())) return std::vector<PublishedLayer>();
  GPTVQ_RETURN_IF_ERROR(sequence.status());
  return ReadLayers(database, *sequence);
}

absl::StatusOr<std::vector<JobEvent>> SelectEvents(SqlDatabase& database, std::string_view job_id,
                                                   std::int64_t after_seq, int limit) {
  const absl::StatusOr<std::int64_t> sequence = SequenceOf(database, job_id);
  if (absl::IsNotFound(sequence.status())) return std::vector<JobEvent>();
  GPTVQ_RETURN_IF_ERROR(sequence.status());
  SqlStatement select("SELECT record FROM events WHERE sequence=$1 AND seq>$2 ORDER BY seq LIMIT $3");
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, database.Run(select.Bind(*sequence).Bind(after_seq).Bind(limit)));
  std::vector<JobEvent> events;
  for (SqlRow& row : rows) {
    GPTVQ_ASSIGN_OR_RETURN(JobEvent event, DecodeJobEvent(row.Bytes()));
    events.push_back(std::move(event));
  }
  return events;
}

absl::StatusOr<std::vector<JobSnapshot>> SelectJobs(SqlDatabase& database, const JobStore::Query& query) {
  const int state_count = static_cast<int>(query.states.size());
  std::string where = "WHERE sequence < $1";
  // One placeholder per state; their number is bounded by the number of states.
  if (state_count > 0) absl::StrAppend(&where, " AND state IN (", Placeholders(state_count, 2), ")");
  int next = state_count + 2;
  if (query.owner) absl::StrAppend(&where, " AND owner=$", next++);
  absl::StrAppend(&where, " ORDER BY sequence DESC LIMIT $", next);
  SqlStatement select = SelectFromJobs(where);
  select.Bind(query.before_sequence.value_or(std::numeric_limits<std::int64_t>::max()));
  for (JobState state : query.states) select.Bind(Name(state));
  if (query.owner) select.Bind(*query.owner);
  return ReadJobs(database, select.Bind(query.limit));
}

absl::Status EnsureSecret(SqlDatabase& database) {
  std::random_device random;
  std::string secret;
  while (secret.size() < kSecretBytes) secret += static_cast<char>(random());
  SqlStatement insert("INSERT INTO store_info VALUES ($1,$2) ON CONFLICT DO NOTHING");
  return database.Run(insert.Bind(kSecretName).BindBlob(std::move(secret))).status();
}

absl::StatusOr<std::string> SelectSecret(SqlDatabase& database) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows,
                         database.Run(SqlStatement("SELECT value FROM store_info WHERE name=$1").Bind(kSecretName)));
  if (rows.empty()) return absl::DataLossError("the journal has lost its secret");
  return rows.front().Bytes();
}

}  // namespace gptvq
