#include "tests/worker/fake_coordinator_server.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <vector>

#include "core/base/check.h"
#include "gptvq/v1/worker_service.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "platform/clock.h"
#include "platform/rpc/channel.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/status.h"

namespace gptvq {

class FakeCoordinatorServer::Service final : public v1::WorkerService::Service {
 public:
  Service(FakeCoordinator& coordinator, const std::string& address) : coordinator_(coordinator) {
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    GPTVQ_CHECK(server_ != nullptr);
  }

  ~Service() override {
    stop_.request_stop();  // ends the calls that wait
    server_->Shutdown();
  }

  void HoldReleases() { holds_releases_ = true; }

  grpc::Status RegisterWorker(grpc::ServerContext*, const v1::RegisterWorkerRequest*,
                              v1::RegisterWorkerResponse* response) override {
    const auto registration = coordinator_.Register(stop_.get_token());
    if (!registration.ok()) return ToGrpcStatus(registration.status());
    response->set_artifact_store_uri(registration->artifact_store_uri);
    *response->mutable_heartbeat_period() = ToProto(registration->heartbeat_period);
    *response->mutable_lease_ttl() = ToProto(registration->lease_ttl);
    response->set_max_chunk_bytes(kMaxChunkBytes);
    return grpc::Status::OK;
  }

  grpc::Status LeaseTask(grpc::ServerContext*, const v1::LeaseTaskRequest* request,
                         v1::LeaseTaskResponse* response) override {
    const auto answer = coordinator_.PollTask(
        {.poll_id = request->poll_id(), .slot = request->slot(), .wait = FromProto(request->wait())},
        stop_.get_token());
    if (!answer.ok()) return ToGrpcStatus(answer.status());
    if (answer->grant) *response->mutable_grant() = ToProto(*answer->grant);
    return grpc::Status::OK;
  }

  grpc::Status RenewLease(grpc::ServerContext*, const v1::RenewLeaseRequest*, v1::RenewLeaseResponse*) override {
    return grpc::Status::OK;
  }

  grpc::Status PublishLayer(grpc::ServerContext*, grpc::ServerReader<v1::PublishLayerRequest>* reader,
                            v1::PublishLayerResponse*) override {
    v1::PublishLayerRequest part;
    Lease lease;
    int layer = 0;
    std::string packed;
    while (reader->Read(&part)) {
      if (part.has_header()) {
        lease = FromProto(part.header().lease()).value();
        layer = part.header().layer();
      } else {
        packed += part.chunk().data();
      }
    }
    return ToGrpcStatus(
        coordinator_.PublishLayer(lease, {.layer = layer, .packed = packed, .linears = {}}, stop_.get_token()));
  }

  grpc::Status CheckpointTask(grpc::ServerContext*, const v1::CheckpointTaskRequest* request,
                              v1::CheckpointTaskResponse*) override {
    return ToGrpcStatus(coordinator_.CheckpointTask(FromProto(request->lease()).value(),
                                                    FromProto(request->checkpoint()).value(), stop_.get_token()));
  }

  grpc::Status CompleteTask(grpc::ServerContext*, const v1::CompleteTaskRequest* request,
                            v1::CompleteTaskResponse*) override {
    return ToGrpcStatus(coordinator_.CompleteTask(FromProto(request->lease()).value(),
                                                  FromProto(request->result()).value(), stop_.get_token()));
  }

  grpc::Status FailTask(grpc::ServerContext*, const v1::FailTaskRequest* request, v1::FailTaskResponse*) override {
    return ToGrpcStatus(coordinator_.FailTask(FromProto(request->lease()).value(),
                                              {FromProto(request->failure_class()), request->message()},
                                              stop_.get_token()));
  }

  grpc::Status ReleaseTask(grpc::ServerContext*, const v1::ReleaseTaskRequest* request,
                           v1::ReleaseTaskResponse*) override {
    const absl::Status status = coordinator_.ReleaseTask(FromProto(request->lease()).value(), stop_.get_token());
    if (holds_releases_) SystemClock().Sleep(std::chrono::hours(1), stop_.get_token());
    return ToGrpcStatus(status);
  }

 private:
  FakeCoordinator& coordinator_;
  std::stop_source stop_;
  std::atomic<bool> holds_releases_ = false;
  std::unique_ptr<grpc::Server> server_;
};

FakeCoordinatorServer::FakeCoordinatorServer(const std::string& address)
    : service_(std::make_unique<Service>(coordinator, address)) {}

FakeCoordinatorServer::~FakeCoordinatorServer() = default;

void FakeCoordinatorServer::HoldReleases() { service_->HoldReleases(); }

}  // namespace gptvq
