#ifndef GPTVQ_TESTS_SERVER_SERVICE_FIXTURE_H_
#define GPTVQ_TESTS_SERVER_SERVICE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>

#include "gptvq/v1/job_service.grpc.pb.h"
#include "gptvq/v1/worker_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "platform/job/error_reason.h"
#include "platform/job_store/memory_job_store.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/crc32c.h"
#include "platform/rpc/status.h"
#include "server/coordinator.h"
#include "server/grpc_server.h"
#include "server/job_service.h"
#include "server/seal.h"
#include "server/worker_service.h"
#include "tests/support/fake_clock.h"
#include "tests/support/job_builders.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {

// Answers what the test says.
class FakeInputProbe final : public InputProbe {
 public:
  absl::StatusOr<ModelSummary> SummarizeModel(std::string_view model_uri) override {
    const std::lock_guard lock(mutex_);
    last_uri = std::string(model_uri);
    return answer;
  }

  absl::Status CheckText(std::string_view) override {
    const std::lock_guard lock(mutex_);
    return text_answer;
  }

  absl::Status CheckOutput(std::string_view) override {
    const std::lock_guard lock(mutex_);
    return output_answer;
  }

  absl::StatusOr<ModelSummary> answer = ModelSummary{.layer_count = 2};
  absl::Status text_answer;
  absl::Status output_answer;
  std::string last_uri;

 private:
  std::mutex mutex_;
};

struct ServiceOptions {
  CoordinatorOptions coordinator;
  JobServiceOptions jobs;
  WorkerServiceOptions workers{.artifact_store_uri = "file:///store"};
  enum class Journal { kLoaded, kLoadedByTheTest };
  Journal journal = Journal::kLoaded;
  GrpcServerOptions server;
  std::string trust_domain;  // empty: open access, which is what a server without TLS has
  std::string tokens_file;
  std::string revocations_file;
  std::string audit_file;
  ObjectStore* objects = nullptr;  // null: in memory
};

// Both services over an in-process channel, with journal and artifacts in memory and a clock that the test turns.
class Service {
 public:
  explicit Service(ServiceOptions options = {}, JobStore* store = nullptr)
      : job_store(store != nullptr ? *store : own_store_),
        artifacts(options.objects != nullptr ? *options.objects : objects),
        access(AccessFor(options, wall_clock, log)),
        audit_log(options.audit_file.empty() ? nullptr : *AuditLog::Open(options.audit_file)),
        coordinator(job_store, clock, metrics, options.coordinator),
        submission(coordinator, probe),
        job_service(coordinator, submission, seal, metrics, guard, options.jobs),
        worker_service(coordinator, artifacts, seal, metrics, guard, clock, options.workers) {
    if (options.journal == ServiceOptions::Journal::kLoaded) {
      EXPECT_TRUE(coordinator.Start([](const absl::Status&) {}).ok());
    }
    auto started = GrpcServer::Start(options.server, {&job_service, &worker_service}, guard, log);
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    jobs = v1::JobService::NewStub(server->InProcessChannel());
    workers = v1::WorkerService::NewStub(server->InProcessChannel());
  }
  ~Service() {
    coordinator.Drain();
    server->Shutdown(std::chrono::milliseconds(0));
  }

  // Calls a unary method of `stub`; the status as both sides mean it.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    return FromGrpcStatus((stub.*method)(&context, request, &response));
  }

 private:
  static AccessControl AccessFor(const ServiceOptions& options, Clock& clock, Logger& log) {
    if (options.trust_domain.empty()) return AccessControl();
    std::unique_ptr<ClientTokens> tokens;
    if (!options.tokens_file.empty()) tokens = *ClientTokens::Load(options.tokens_file, clock, log);
    std::unique_ptr<Revocations> revocations;
    if (!options.revocations_file.empty()) {
      revocations = *Revocations::Load(options.revocations_file, options.server.tls.authority, clock, log);
    }
    return AccessControl(options.trust_domain, std::move(tokens), std::move(revocations));
  }

  MemoryJobStore own_store_;

 public:
  JobStore& job_store;
  FakeClock clock;
  MetricsRegistry registry{"coordinator"};
  CoordinatorMetrics metrics{registry};
  MemoryObjectStore objects;
  ArtifactStore artifacts;
  const Seal seal{Secret("key")};
  FakeInputProbe probe;
  Logger log{LogLevel::kError};
  SystemClock wall_clock;  // certificates of real programs have real times
  AccessControl access;
  std::unique_ptr<AuditLog> audit_log;
  CallGuard guard{access, audit_log.get(), wall_clock, log};
  Coordinator coordinator;
  Submission submission;
  GrpcJobService job_service;
  GrpcWorkerService worker_service;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::WorkerService::Stub> workers;
};

inline const std::string kRequestId = "0f8fad5b-d9cb-469f-a165-70867728950e";
inline const std::string kIncarnation = "00112233445566778899aabbccddeeff";

inline v1::SubmitJobRequest ASubmitRequest(const JobSpec& spec = AJobSpec(),
                                           const std::string& request_id = kRequestId) {
  v1::SubmitJobRequest request;
  request.set_request_id(request_id);
  *request.mutable_spec() = ToProto(spec);
  return request;
}

// Submits over the wire; the id of the job.
inline std::string SubmitTo(Service& service, const JobSpec& spec = AJobSpec(),
                            const std::string& request_id = kRequestId) {
  v1::SubmitJobResponse response;
  const absl::Status status =
      service.Call(*service.jobs, &v1::JobService::Stub::SubmitJob, ASubmitRequest(spec, request_id), response);
  EXPECT_TRUE(status.ok()) << status;
  return response.job().job_id();
}

inline JobSpec WithoutEvaluation() {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  return spec;
}

inline v1::RegisterWorkerRequest ARegistration(const std::string& name = "worker-a") {
  v1::RegisterWorkerRequest request;
  request.set_worker_name(name);
  request.set_incarnation(kIncarnation);
  request.set_numerics_class("cpu-ref/k1");
  request.set_version("0.1.0");
  request.set_protocol_version("1.0");
  v1::DeviceSlot* slot = request.add_slots();
  slot->set_name("cpu:0");
  slot->set_description("test");
  return request;
}

inline v1::LeaseTaskRequest APoll(const std::string& poll_id, const std::string& name = "worker-a") {
  v1::LeaseTaskRequest request;
  request.set_worker_name(name);
  request.set_incarnation(kIncarnation);
  request.set_poll_id(poll_id);
  return request;
}

// One worker's side of the conversation, without the politeness of repeating anything.
class TestWorker {
 public:
  explicit TestWorker(Service& service, std::string name = "worker-a") : service_(service), name_(std::move(name)) {
    v1::RegisterWorkerResponse response;
    const absl::Status status =
        service_.Call(*service_.workers, &v1::WorkerService::Stub::RegisterWorker, ARegistration(name_), response);
    EXPECT_TRUE(status.ok()) << status;
  }

  // A task, or a grant without a lease.
  v1::TaskGrant Poll() {
    v1::LeaseTaskResponse response;
    const absl::Status status = service_.Call(*service_.workers, &v1::WorkerService::Stub::LeaseTask,
                                              APoll("poll-" + std::to_string(++polls_), name_), response);
    EXPECT_TRUE(status.ok()) << status;
    return response.grant();
  }

  absl::StatusOr<v1::RenewLeaseResponse> Renew(const v1::Lease& lease, std::uint64_t counter = 1) {
    v1::RenewLeaseRequest request;
    *request.mutable_lease() = lease;
    request.mutable_progress()->set_counter(counter);
    request.mutable_progress()->set_fraction(0.25);
    request.mutable_progress()->set_step("calibrate");
    v1::RenewLeaseResponse response;
    const absl::Status status =
        service_.Call(*service_.workers, &v1::WorkerService::Stub::RenewLease, request, response);
    if (!status.ok()) return status;
    return response;
  }

  static v1::PublishLayerRequest Header(const v1::Lease& lease, int layer, const std::string& bytes) {
    v1::PublishLayerRequest message;
    *message.mutable_header()->mutable_lease() = lease;
    message.mutable_header()->set_layer(layer);
    *message.mutable_header()->mutable_digest() = ToProto(DigestOf(bytes)).digest();
    *message.mutable_header()->add_linears() = ToProto(ALinearReport("model.layers." + std::to_string(layer) + ".q"));
    return message;
  }

  static v1::PublishLayerRequest Chunk(std::uint64_t offset, const std::string& data) {
    v1::PublishLayerRequest message;
    message.mutable_chunk()->set_offset(offset);
    message.mutable_chunk()->set_data(data);
    message.mutable_chunk()->set_crc32c(Crc32c(data));
    return message;
  }

  // Sends `messages` and half-closes.
  absl::StatusOr<v1::PublishLayerResponse> Publish(const std::vector<v1::PublishLayerRequest>& messages) {
    grpc::ClientContext context;
    v1::PublishLayerResponse response;
    const auto writer = service_.workers->PublishLayer(&context, &response);
    for (const v1::PublishLayerRequest& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    const absl::Status status = FromGrpcStatus(writer->Finish());
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::PublishLayerResponse> PublishLayer(const v1::Lease& lease, int layer, const std::string& bytes) {
    return Publish({Header(lease, layer, bytes), Chunk(0, bytes)});
  }

  absl::StatusOr<v1::CompleteTaskResponse> Complete(const v1::Lease& lease, const TaskResult& result) {
    v1::CompleteTaskRequest request;
    *request.mutable_lease() = lease;
    *request.mutable_result() = ToProto(result);
    v1::CompleteTaskResponse response;
    const absl::Status status =
        service_.Call(*service_.workers, &v1::WorkerService::Stub::CompleteTask, request, response);
    if (!status.ok()) return status;
    return response;
  }

  absl::Status Fail(const v1::Lease& lease, v1::FailureClass failure_class, const std::string& message) {
    v1::FailTaskRequest request;
    *request.mutable_lease() = lease;
    request.set_failure_class(failure_class);
    request.set_message(message);
    v1::FailTaskResponse response;
    return service_.Call(*service_.workers, &v1::WorkerService::Stub::FailTask, request, response);
  }

  absl::Status Release(const v1::Lease& lease) {
    v1::ReleaseTaskRequest request;
    *request.mutable_lease() = lease;
    v1::ReleaseTaskResponse response;
    return service_.Call(*service_.workers, &v1::WorkerService::Stub::ReleaseTask, request, response);
  }

 private:
  Service& service_;
  const std::string name_;
  int polls_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SERVER_SERVICE_FIXTURE_H_
