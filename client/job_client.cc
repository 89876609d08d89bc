#include "client/job_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/progress_display.h"
#include "core/base/status_macros.h"
#include "gptvq/v1/job_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/channel.h"
#include "platform/rpc/convert_job.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/convert_worker.h"
#include "platform/rpc/protocol_version.h"
#include "platform/rpc/status.h"

namespace gptvq {
namespace {

constexpr std::chrono::seconds kCallDeadline{20};
constexpr int kPageSize = 200;

// ---- From the wire ----

// What an unknown value of an enum, sent by a newer coordinator, is shown as.
template <typename Proto, typename Value>
Value FromProtoOr(Proto proto, Value fallback) {
  const absl::StatusOr<Value> value = FromProto(proto);
  return value.ok() ? *value : fallback;
}

std::string FailureText(const v1::TaskFailure& failure) {
  if (failure.message().empty()) return "";
  return failure.worker_name().empty() ? failure.message()
                                       : absl::StrCat("on worker ", failure.worker_name(), ": ", failure.message());
}

TaskView ViewOf(const v1::Task& task) {
  TaskView view;
  view.task_id = task.task_id();
  view.kind = FromProtoOr(task.kind(), TaskKind::kQuantize);
  view.state = FromProtoOr(task.state(), TaskState::kBlocked);
  view.layers = {task.layers().begin(), task.layers().end()};
  view.attempt = task.attempt();
  view.worker = task.worker_name();
  view.last_failure = FailureText(task.last_failure());
  if (task.has_progress()) view.progress = FromProtoOr(task.progress(), TaskProgress());
  if (const auto outcome = FromProto(task.audit_outcome()); outcome.ok()) view.audit_outcome = *outcome;
  return view;
}

JobView ViewOf(const v1::Job& job) {
  JobView view;
  view.job_id = job.job_id();
  view.state = FromProtoOr(job.state(), JobState::kPending);
  view.model = job.spec().model_uri();
  view.output = job.spec().output_uri();
  view.preset = job.spec().quant().preset();
  view.create_unix_seconds = job.create_time().seconds();
  view.layer_count = job.layer_count();
  view.shard_layers = job.shard_layers();
  view.published_layers = job.published_layers();
  view.task_count = job.task_count();
  view.committed_task_count = job.committed_task_count();
  for (const v1::Task& task : job.tasks()) view.tasks.push_back(ViewOf(task));
  view.failure = FailureText(job.failure());
  view.failure_class = FromProto(job.failure().failure_class());
  view.numerics_class = job.numerics_class();
  return view;
}

// One event onto the state it changes.
void Apply(const v1::JobEvent& event, JobView& job) {
  const auto find = [&](const std::string& task_id) {
    return std::find_if(job.tasks.begin(), job.tasks.end(),
                        [&](const TaskView& task) { return task.task_id == task_id; });
  };
  switch (event.event_case()) {
    case v1::JobEvent::kJobState: job.state = FromProtoOr(event.job_state().to(), job.state); break;
    case v1::JobEvent::kTaskState: {
      const auto task = find(event.task_state().task_id());
      if (task == job.tasks.end()) break;
      if (event.task_state().from() == v1::TASK_STATE_COMMITTED) --job.committed_task_count;  // its work was lost
      task->state = FromProtoOr(event.task_state().to(), task->state);
      if (!event.task_state().worker_name().empty()) task->worker = event.task_state().worker_name();
      if (event.task_state().has_failure()) task->last_failure = FailureText(event.task_state().failure());
      if (task->state == TaskState::kCommitted) ++job.committed_task_count;
      break;
    }
    case v1::JobEvent::kLayerPublished:  // what an audit overturned is published once more
      job.published_layers = std::min(job.published_layers + 1, job.layer_count);
      break;
    case v1::JobEvent::kTaskProgress: {
      const auto task = find(event.task_progress().task_id());
      if (task != job.tasks.end()) task->progress = FromProtoOr(event.task_progress().progress(), task->progress);
      break;
    }
    case v1::JobEvent::EVENT_NOT_SET: break;
  }
}

}  // namespace

std::string JobBytes(const JobSpec& spec) { return ToProto(spec).SerializeAsString(); }

// The stub, and what makes its calls last.
struct JobClient::Connection {
  Connection(JobClientOptions options, std::shared_ptr<grpc::Channel> channel, Clock& clock)
      : options(std::move(options)), clock(clock), jobs(v1::JobService::NewStub(std::move(channel))) {}

  // A unary call: `call` takes a context and returns a grpc::Status.
  template <typename Call>
  absl::Status Repeat(const Call& call, std::chrono::milliseconds at_most = std::chrono::milliseconds::max()) {
    RepetitionOptions repetition = options.repetition;
    repetition.at_most = std::min(repetition.at_most, at_most);
    Repetition tries(repetition, clock);
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(gpr_time_from_seconds(kCallDeadline.count(), GPR_TIMESPAN));  // from now on
      const absl::Status status = FromUncancelledCall(call(context));
      if (!AwaitNextTry(status, tries, options.on_silence)) return Final(status, tries);
    }
  }

  bool AwaitNextTry(const absl::Status& status, Repetition& tries, const SilenceObserver& on_silence) {
    const auto pause = tries.NextPause(status);
    if (!pause) return false;
    if (tries.pause_count() == 1) {
      on_silence(
          absl::StrCat(Trouble(status), "; trying again for up to ", HumanDuration(tries.at_most().count() / 1e3)));
    }
    clock.Sleep(*pause, {});
    return true;
  }

  // The last word, with a remedy for silence.
  absl::Status Final(const absl::Status& status, const Repetition& tries) const {
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
    const std::string time =
        tries.pause_count() == 0 ? "" : absl::StrCat("; tried for ", HumanDuration(tries.elapsed().count() / 1e3));
    return absl::UnavailableError(absl::StrCat(
        Trouble(status), time,
        ReasonOf(status) ? "" : "; is it running, and is --coordinator right? `gptvq-client doctor` looks closer"));
  }

  std::string Trouble(const absl::Status& status) const {
    const std::string message(status.message());
    return ReasonOf(status) ? absl::StrCat("the coordinator at ", options.address, " does not take the call: ", message)
                            : absl::StrCat("no answer from the coordinator at ", options.address, " (", message, ")");
  }

  const JobClientOptions options;
  Clock& clock;
  const std::unique_ptr<v1::JobService::Stub> jobs;
};

JobClient::JobClient(JobClientOptions options, Clock& clock)
    : JobClient(options, MakeChannel(options.address, options.security), clock) {}

JobClient::JobClient(JobClientOptions options, std::shared_ptr<grpc::Channel> channel, Clock& clock)
    : connection_(std::make_unique<Connection>(std::move(options), std::move(channel), clock)) {}

JobClient::~JobClient() = default;

absl::StatusOr<JobView> JobClient::Submit(const JobSpec& spec, const std::string& request_id, SubmitMode mode) {
  v1::SubmitJobRequest message;
  message.set_request_id(request_id);
  *message.mutable_spec() = ToProto(spec);
  message.set_validate_only(mode == SubmitMode::kDryRun);
  v1::SubmitJobResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
      [&](grpc::ClientContext& context) { return connection_->jobs->SubmitJob(&context, message, &response); }));
  JobView job = ViewOf(response.job());
  job.warnings.assign(response.warnings().begin(), response.warnings().end());
  if (response.has_memory()) {
    job.memory = MemoryView{.gpu_device_bytes = response.memory().gpu_device_bytes(),
                            .gpu_host_bytes = response.memory().gpu_host_bytes(),
                            .cpu_host_bytes = response.memory().cpu_host_bytes()};
  }
  return job;
}

absl::StatusOr<JobView> JobClient::Get(const std::string& job_id, std::chrono::milliseconds at_most) {
  v1::GetJobRequest message;
  message.set_job_id(job_id);
  v1::GetJobResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
      [&](grpc::ClientContext& context) { return connection_->jobs->GetJob(&context, message, &response); }, at_most));
  return ViewOf(response.job());
}

absl::StatusOr<std::vector<JobView>> JobClient::List(int limit) {
  std::vector<JobView> jobs;
  v1::ListJobsRequest message;
  do {
    message.set_page_size(std::min(kPageSize, limit - static_cast<int>(jobs.size())));
    v1::ListJobsResponse response;
    GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
        [&](grpc::ClientContext& context) { return connection_->jobs->ListJobs(&context, message, &response); }));
    for (const v1::Job& job : response.jobs()) jobs.push_back(ViewOf(job));
    message.set_page_token(response.next_page_token());
  } while (!message.page_token().empty() && static_cast<int>(jobs.size()) < limit);
  return jobs;
}

absl::StatusOr<JobView> JobClient::Cancel(const std::string& job_id) {
  v1::CancelJobRequest message;
  message.set_job_id(job_id);
  v1::CancelJobResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
      [&](grpc::ClientContext& context) { return connection_->jobs->CancelJob(&context, message, &response); }));
  return ViewOf(response.job());
}

absl::StatusOr<Report> JobClient::GetReport(const std::string& job_id) {
  v1::GetReportRequest message;
  message.set_job_id(job_id);
  v1::GetReportResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
      [&](grpc::ClientContext& context) { return connection_->jobs->GetReport(&context, message, &response); }));
  return FromProto(response.report());
}

absl::StatusOr<std::vector<WorkerView>> JobClient::Workers() {
  v1::ListWorkersResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat([&](grpc::ClientContext& context) {
    return connection_->jobs->ListWorkers(&context, v1::ListWorkersRequest(), &response);
  }));
  std::vector<WorkerView> workers;
  for (const v1::Worker& worker : response.workers()) {
    WorkerView view;
    view.name = worker.name();
    view.numerics_class = worker.numerics_class();
    view.version = worker.version();
    for (const v1::DeviceSlot& slot : worker.slots()) view.slots.push_back(slot.name());
    for (const std::string& task_id : worker.leased_task_ids()) view.leased_task_ids.push_back(task_id);
    view.seconds_since_last_call = static_cast<double>(worker.since_last_call().seconds());
    view.trust = FromProto(worker.record().trust()).value_or(WorkerTrust::kTrusted);
    if (view.trust != WorkerTrust::kTrusted) view.trust_reason = worker.record().reason();
    if (view.trust == WorkerTrust::kQuarantined) {
      view.quarantine_end_unix_seconds = worker.record().quarantine_end().seconds();
    }
    for (const v1::DeviceHealth& device : worker.devices()) view.devices.push_back(FromProto(device));
    workers.push_back(std::move(view));
  }
  return workers;
}

absl::Status JobClient::ReleaseWorker(const std::string& name) {
  v1::ReleaseWorkerRequest message;
  message.set_worker_name(name);
  v1::ReleaseWorkerResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat(
      [&](grpc::ClientContext& context) { return connection_->jobs->ReleaseWorker(&context, message, &response); }));
  if (response.outcome() == v1::ReleaseWorkerResponse::OUTCOME_RELEASED) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no worker ", name, " is in quarantine or suspect"));
}

absl::StatusOr<CoordinatorView> JobClient::Coordinator() {
  v1::GetCapabilitiesResponse response;
  GPTVQ_RETURN_IF_ERROR(connection_->Repeat([&](grpc::ClientContext& context) {
    return connection_->jobs->GetCapabilities(&context, v1::GetCapabilitiesRequest(), &response);
  }));
  CoordinatorView view;
  view.version = response.version();
  view.protocol_version = response.protocol_version();
  const std::string major(kProtocolVersion.substr(0, kProtocolVersion.find('.') + 1));
  view.speaks_our_protocol = absl::StartsWith(response.protocol_version(), major);
  if (response.has_coordinator_time()) view.time = FromProto(response.coordinator_time());
  return view;
}

absl::StatusOr<JobView> JobClient::Watch(const std::string& job_id,
                                         absl::FunctionRef<WatchDecision(const JobView&)> on_change,
                                         const SilenceObserver& on_silence) {
  JobView job;
  Repetition tries(connection_->options.repetition, connection_->clock);
  absl::Status status;
  do {
    // Every stream begins with a snapshot, so taking up again needs no memory of events.
    grpc::ClientContext context;
    v1::WatchJobRequest message;
    message.set_job_id(job_id);
    const auto reader = connection_->jobs->WatchJob(&context, message);
    v1::WatchJobResponse response;
    while (reader->Read(&response)) {
      if (response.has_snapshot()) {
        job = ViewOf(response.snapshot());
      } else {
        Apply(response.event(), job);
      }
      if (on_change(job) == WatchDecision::kStop) {
        context.TryCancel();
        return job;
      }
      tries.Restart();
    }
    status = FromUncancelledCall(reader->Finish());
  } while (connection_->AwaitNextTry(status, tries, on_silence));
  GPTVQ_RETURN_IF_ERROR(connection_->Final(status, tries));
  // The last word on tasks and failures is the coordinator's.
  return Get(job_id);
}

}  // namespace gptvq
