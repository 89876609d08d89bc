#include "server/job_service.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/job/report.h"
#include "platform/rpc/convert_job.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/convert_worker.h"
#include "platform/rpc/protocol_version.h"
#include "platform/version.h"
#include "server/layer_receiver.h"
#include "server/planner.h"
#include "server/rpc_call.h"

namespace gptvq {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 500;
constexpr int kEventsPerRead = 200;
// A watcher looks that often whether its client is still there, and is sent progress at most that often.
constexpr std::chrono::milliseconds kWatchPeriod(500);

absl::Status Invalid(absl::string_view message) {
  return Refuse(ErrorReason::kInvalidField, std::string_view(message.data(), message.size()));
}

v1::Job Full(const StandingJob& standing) { return ToProto(standing.job, standing.progress, JobDetail::kFull); }

v1::Worker WorkerToProto(const StandingWorker& worker) {
  const RegisterWorker& registration = worker.registration;
  v1::Worker proto;
  proto.set_name(registration.worker.name);
  proto.set_incarnation(registration.worker.incarnation);
  proto.set_numerics_class(registration.numerics_class);
  proto.set_version(registration.version);
  for (const DeviceSlot& slot : registration.slots) {
    v1::DeviceSlot* added = proto.add_slots();
    added->set_name(slot.name);
    added->set_description(slot.description);
    added->set_memory_bytes(slot.memory_bytes);
  }
  *proto.mutable_register_time() = ToProto(worker.register_time);
  *proto.mutable_since_last_call() = ToProto(worker.since_last_call);
  for (const std::string& task_id : worker.leased_task_ids) proto.add_leased_task_ids(task_id);
  if (worker.record) *proto.mutable_record() = ToProto(*worker.record);
  for (const DeviceHealth& device : registration.devices) *proto.add_devices() = ToProto(device);
  return proto;
}

// Progress that changed since it was last sent; remembers it in `sent`.
std::vector<v1::WatchJobResponse> NewProgress(const StandingJob& standing, std::map<std::string, TaskProgress>& sent) {
  std::vector<v1::WatchJobResponse> messages;
  for (const auto& [task_id, progress] : standing.progress) {
    if (sent[task_id] == progress) continue;
    sent[task_id] = progress;
    v1::WatchJobResponse message;
    message.mutable_event()->mutable_task_progress()->set_task_id(task_id);
    *message.mutable_event()->mutable_task_progress()->mutable_progress() = ToProto(progress);
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace

GrpcJobService::GrpcJobService(Coordinator& coordinator, Submission& submission, const Seal& seal,
                               CoordinatorMetrics& metrics, const CallGuard& guard, const JobServiceOptions& options)
    : coordinator_(coordinator),
      submission_(submission),
      seal_(seal),
      desk_{coordinator, metrics, guard},
      watchers_(options.max_watchers, metrics.watchers) {}

grpc::Status GrpcJobService::SubmitJob(grpc::ServerContext* context, const v1::SubmitJobRequest* request,
                                       v1::SubmitJobResponse* response) {
  return HandleUnaryCall("SubmitJob", *context, *request, desk_,
                         [&](Call& call) { return Submit(*request, call, *response); });
}

bool GrpcJobService::IsVisible(const Caller& caller, std::string_view job_id) const {
  if (caller.SeesAllJobs()) return true;
  const absl::StatusOr<std::string> owner = coordinator_.OwnerOf(job_id);
  return owner.ok() && *owner == caller.owner();
}

absl::Status GrpcJobService::CheckVisible(Call& call) const {
  if (call.caller.SeesAllJobs()) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(const std::string owner, coordinator_.OwnerOf(call.job_id));
  if (owner == call.caller.owner()) return absl::OkStatus();
  call.was_denied = true;
  return Refuse(ErrorReason::kJobUnknown, absl::StrCat("no job ", call.job_id));  // as if there were none
}

absl::Status GrpcJobService::Submit(const v1::SubmitJobRequest& request, Call& call, v1::SubmitJobResponse& response) {
  call.changed_nothing = request.validate_only();
  GPTVQ_ASSIGN_OR_RETURN(const JobSpec spec, FromProto(request.spec()));
  if (request.validate_only()) {
    GPTVQ_ASSIGN_OR_RETURN(const PlannedJob planned, submission_.Plan(spec));
    *response.mutable_job() = ToProto(planned.job, {}, JobDetail::kFull);
    for (const std::string& warning : planned.warnings) response.add_warnings(warning);
    response.mutable_memory()->set_gpu_device_bytes(planned.memory_on_gpu.device_bytes);
    response.mutable_memory()->set_gpu_host_bytes(planned.memory_on_gpu.host_bytes);
    response.mutable_memory()->set_cpu_host_bytes(planned.memory_on_cpu.host_bytes);
    return absl::OkStatus();
  }
  GPTVQ_ASSIGN_OR_RETURN(const AcceptedJob accepted,
                         submission_.Submit({request.request_id(), call.caller.owner(), spec}));
  call.job_id = accepted.job_id;
  GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, coordinator_.FindJob(accepted.job_id));
  *response.mutable_job() = Full(standing);
  for (const std::string& warning : accepted.warnings) response.add_warnings(warning);
  return absl::OkStatus();
}

grpc::Status GrpcJobService::GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                                    v1::GetJobResponse* response) {
  return HandleUnaryCall("GetJob", *context, *request, desk_, [&](Call& call) -> absl::Status {
    call.job_id = request->job_id();
    GPTVQ_RETURN_IF_ERROR(CheckVisible(call));
    GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, coordinator_.FindJob(request->job_id()));
    *response->mutable_job() = Full(standing);
    return absl::OkStatus();
  });
}

grpc::Status GrpcJobService::ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                                      v1::ListJobsResponse* response) {
  return HandleUnaryCall("ListJobs", *context, *request, desk_,
                         [&](Call& call) { return List(*request, call.caller, *response); });
}

absl::Status GrpcJobService::List(const v1::ListJobsRequest& request, const Caller& caller,
                                  v1::ListJobsResponse& response) {
  if (request.page_size() < 0) return Invalid("page_size: negative");
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  JobStore::Query query;
  query.limit = page_size + 1;  // one more tells whether there is another page
  if (!caller.SeesAllJobs()) query.owner = caller.owner();
  for (const int state : request.states()) {
    GPTVQ_ASSIGN_OR_RETURN(const JobState parsed, FromProto(static_cast<v1::JobState>(state)));
    if (std::find(query.states.begin(), query.states.end(), parsed) == query.states.end())
      query.states.push_back(parsed);
  }
  if (!request.page_token().empty()) {
    query.before_sequence = seal_.ParsePageToken(request.page_token());
    if (!query.before_sequence) return Invalid("page_token: not one that this coordinator gave out");
  }
  GPTVQ_ASSIGN_OR_RETURN(std::vector<JobSnapshot> jobs, coordinator_.store().ListJobs(query));
  if (static_cast<int>(jobs.size()) > page_size) {
    jobs.resize(page_size);
    response.set_next_page_token(seal_.PageToken(jobs.back().description.sequence));
  }
  for (const JobSnapshot& job : jobs) *response.add_jobs() = ToProto(job, {}, JobDetail::kSummary);
  return absl::OkStatus();
}

grpc::Status GrpcJobService::WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                                      grpc::ServerWriter<v1::WatchJobResponse>* writer) {
  return HandleCall("WatchJob", *context, desk_, [&](Call& call) -> absl::Status {
    call.job_id = request->job_id();
    GPTVQ_RETURN_IF_ERROR(CheckVisible(call));
    const ConcurrencyLimit::Slot slot = watchers_.TryTake();
    if (slot == nullptr) {
      return WithRetryAfter(Refuse(ErrorReason::kTooManyWatchers, "too many watchers; poll GetJob instead"),
                            std::chrono::milliseconds(5'000));
    }
    return Watch(call, *context, *request, *writer);
  });
}

absl::Status GrpcJobService::Watch(const Call& call, const grpc::ServerContext& context,
                                   const v1::WatchJobRequest& request,
                                   grpc::ServerWriter<v1::WatchJobResponse>& writer) {
  GPTVQ_ASSIGN_OR_RETURN(StandingJob standing, coordinator_.FindJob(request.job_id()));
  std::int64_t sent_seq =
      request.has_after_event_seq() ? request.after_event_seq() : standing.job.status.last_event_seq;
  if (sent_seq < 0) return Invalid("after_event_seq: negative");
  if (sent_seq > standing.job.status.last_event_seq) {
    return absl::OutOfRangeError(
        absl::StrCat("after_event_seq: ", sent_seq, " is beyond the last event, ", standing.job.status.last_event_seq));
  }
  std::map<std::string, TaskProgress> sent_progress = standing.progress;  // the snapshot shows it
  v1::WatchJobResponse snapshot;
  *snapshot.mutable_snapshot() = Full(standing);
  if (!writer.Write(snapshot)) return absl::CancelledError("the watcher is gone");

  Coordinator::News news;
  while (!context.IsCancelled()) {
    GPTVQ_RETURN_IF_ERROR(desk_.guard.CheckStillAdmitted(call));
    GPTVQ_ASSIGN_OR_RETURN(sent_seq, SendEvents(request.job_id(), sent_seq, writer));
    GPTVQ_ASSIGN_OR_RETURN(standing, coordinator_.FindJob(request.job_id()));
    for (const v1::WatchJobResponse& message : NewProgress(standing, sent_progress)) {
      if (!writer.Write(message)) return absl::CancelledError("the watcher is gone");
    }
    if (IsTerminal(standing.job.status.state) && sent_seq == standing.job.status.last_event_seq)
      return absl::OkStatus();
    news.last_event_seq = sent_seq;
    GPTVQ_ASSIGN_OR_RETURN(news, coordinator_.WaitForNews(request.job_id(), news, kWatchPeriod));
  }
  return absl::CancelledError("the watcher is gone");
}

absl::StatusOr<std::int64_t> GrpcJobService::SendEvents(const std::string& job_id, std::int64_t after_seq,
                                                        grpc::ServerWriter<v1::WatchJobResponse>& writer) {
  while (true) {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<JobEvent> events,
                           coordinator_.store().ReadEvents(job_id, after_seq, kEventsPerRead));
    for (const JobEvent& event : events) {
      v1::WatchJobResponse message;
      *message.mutable_event() = ToProto(event);
      if (!writer.Write(message)) return absl::CancelledError("the watcher is gone");
      after_seq = event.seq;
    }
    if (events.size() < kEventsPerRead) return after_seq;
  }
}

grpc::Status GrpcJobService::CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                                       v1::CancelJobResponse* response) {
  return HandleUnaryCall("CancelJob", *context, *request, desk_, [&](Call& call) {
    call.job_id = request->job_id();
    return Cancel(call, *response);
  });
}

absl::Status GrpcJobService::Cancel(Call& call, v1::CancelJobResponse& response) {
  GPTVQ_RETURN_IF_ERROR(CheckVisible(call));
  GPTVQ_RETURN_IF_ERROR(coordinator_.Record(gptvq::CancelJob{call.job_id}).status());
  GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, coordinator_.FindJob(call.job_id));
  *response.mutable_job() = Full(standing);
  return absl::OkStatus();
}

grpc::Status GrpcJobService::GetReport(grpc::ServerContext* context, const v1::GetReportRequest* request,
                                       v1::GetReportResponse* response) {
  return HandleUnaryCall("GetReport", *context, *request, desk_, [&](Call& call) {
    call.job_id = request->job_id();
    return Report(call, *response);
  });
}

absl::Status GrpcJobService::Report(Call& call, v1::GetReportResponse& response) {
  GPTVQ_RETURN_IF_ERROR(CheckVisible(call));
  GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, coordinator_.FindJob(call.job_id));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<PublishedLayer> layers, coordinator_.store().ReadLayers(call.job_id));
  *response.mutable_report() = ToProto(AssembleReport(standing.job, layers, coordinator_.Now().wall));
  return absl::OkStatus();
}

grpc::Status GrpcJobService::ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest* request,
                                         v1::ListWorkersResponse* response) {
  return HandleUnaryCall("ListWorkers", *context, *request, desk_, [&](Call& call) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(std::vector<StandingWorker> workers, coordinator_.ListWorkers());
    for (StandingWorker& worker : workers) {
      // Whose tasks a worker does is for those to know whose they are.
      std::erase_if(worker.leased_task_ids,
                    [&](const std::string& task_id) { return !IsVisible(call.caller, JobIdOf(task_id)); });
      if (worker.record) {
        std::erase_if(worker.record->failures,
                      [&](const WorkerFailure& failure) { return !IsVisible(call.caller, JobIdOf(failure.task_id)); });
      }
      *response->add_workers() = WorkerToProto(worker);
    }
    return absl::OkStatus();
  });
}

grpc::Status GrpcJobService::ReleaseWorker(grpc::ServerContext* context, const v1::ReleaseWorkerRequest* request,
                                           v1::ReleaseWorkerResponse* response) {
  return HandleUnaryCall("ReleaseWorker", *context, *request, desk_, [&](Call&) -> absl::Status {
    if (request->worker_name().empty()) return Invalid("worker_name: is required");
    GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(gptvq::ReleaseWorker{request->worker_name()}));
    response->set_outcome(decision.outcome == Outcome::kNothing ? v1::ReleaseWorkerResponse::OUTCOME_NOTHING_TO_RELEASE
                                                                : v1::ReleaseWorkerResponse::OUTCOME_RELEASED);
    return absl::OkStatus();
  });
}

grpc::Status GrpcJobService::GetCapabilities(grpc::ServerContext* context, const v1::GetCapabilitiesRequest* request,
                                             v1::GetCapabilitiesResponse* response) {
  return HandleUnaryCall("GetCapabilities", *context, *request, desk_, [&](Call&) {
    const SchedulerOptions& scheduler = coordinator_.options().scheduler;
    response->set_version(std::string(Version()));
    response->set_protocol_version(std::string(kProtocolVersion));
    response->set_max_control_message_bytes(kMaxControlMessageBytes);
    response->set_max_chunk_bytes(kMaxChunkBytes);
    response->set_max_layers(kMaxPlannedLayers);
    response->set_max_tasks_per_job(kMaxTasksPerJob);
    response->set_max_active_jobs(scheduler.max_active_jobs);
    response->set_max_artifact_bytes(kMaxLayerArtifactBytes);
    *response->mutable_lease_ttl() = ToProto(scheduler.lease_ttl);
    for (const std::string_view scheme : {"file", "s3"}) response->add_uri_schemes(std::string(scheme));
    *response->mutable_coordinator_time() = ToProto(coordinator_.Now().wall);
    return absl::OkStatus();
  });
}

}  // namespace gptvq
