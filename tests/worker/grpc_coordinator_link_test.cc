#include "worker/grpc_coordinator_link.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/channel.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/crc32c.h"
#include "platform/rpc/status.h"
#include "tests/worker/fake_coordinator.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::SizeIs;

// The service as the test scripts it: keeps the last request of each method and answers `status`.
class RecordingService final : public v1::WorkerService::Service {
 public:
  grpc::Status RegisterWorker(grpc::ServerContext*, const v1::RegisterWorkerRequest* request,
                              v1::RegisterWorkerResponse* response) override {
    registration = *request;
    response->set_artifact_store_uri("file:///artifacts");
    *response->mutable_heartbeat_period() = ToProto(seconds(10));
    *response->mutable_lease_ttl() = ToProto(seconds(30));
    response->set_max_chunk_bytes(4);
    return ToGrpcStatus(status);
  }

  grpc::Status LeaseTask(grpc::ServerContext* context, const v1::LeaseTaskRequest* request,
                         v1::LeaseTaskResponse* response) override {
    poll = *request;
    if (hold_polls) {
      std::unique_lock lock(mutex);
      is_holding = true;
      changed.notify_all();
      while (!context->IsCancelled()) changed.wait_for(lock, milliseconds(5));
      return grpc::Status::CANCELLED;
    }
    if (grant) *response->mutable_grant() = ToProto(*grant);
    *response->mutable_retry_after() = ToProto(milliseconds(250));
    return ToGrpcStatus(status);
  }

  grpc::Status RenewLease(grpc::ServerContext* context, const v1::RenewLeaseRequest* request,
                          v1::RenewLeaseResponse* response) override {
    renewal = *request;
    renewal_peer = context->peer();
    response->set_cancel_requested(cancel_requested);
    return ToGrpcStatus(status);
  }

  grpc::Status PublishLayer(grpc::ServerContext* context, grpc::ServerReader<v1::PublishLayerRequest>* reader,
                            v1::PublishLayerResponse*) override {
    layer_peer = context->peer();
    v1::PublishLayerRequest part;
    bool refuse_offset = false;
    while (reader->Read(&part)) {
      parts.push_back(part);
      if (!status.ok()) break;  // refuses in the middle of the stream
      refuse_offset = refuse_offset || (part.header().first_offset() > 0 && forgets_uploads);
      if (refuse_offset) return ToGrpcStatus(Refuse(ErrorReason::kChunkOutOfOrder, "nothing is left"));
    }
    return ToGrpcStatus(status);
  }

  grpc::Status QueryUpload(grpc::ServerContext*, const v1::QueryUploadRequest* request,
                           v1::QueryUploadResponse* response) override {
    query = *request;
    if (!received_bytes) return {grpc::StatusCode::UNIMPLEMENTED, "protocol 1.0"};
    response->set_received_bytes(*received_bytes);
    return grpc::Status::OK;
  }

  grpc::Status CheckpointTask(grpc::ServerContext*, const v1::CheckpointTaskRequest* request,
                              v1::CheckpointTaskResponse*) override {
    checkpoint = *request;
    return ToGrpcStatus(status);
  }

  grpc::Status CompleteTask(grpc::ServerContext*, const v1::CompleteTaskRequest* request,
                            v1::CompleteTaskResponse*) override {
    completion = *request;
    return ToGrpcStatus(status);
  }

  grpc::Status FailTask(grpc::ServerContext*, const v1::FailTaskRequest* request, v1::FailTaskResponse*) override {
    failure = *request;
    return ToGrpcStatus(status);
  }

  grpc::Status ReleaseTask(grpc::ServerContext*, const v1::ReleaseTaskRequest* request,
                           v1::ReleaseTaskResponse*) override {
    release = *request;
    return ToGrpcStatus(status);
  }

  absl::Status status;
  std::optional<TaskGrant> grant;
  bool cancel_requested = false;
  bool hold_polls = false;
  std::optional<std::uint64_t> received_bytes;  // nullopt: it knows no offsets
  bool forgets_uploads = false;

  v1::QueryUploadRequest query;
  v1::RegisterWorkerRequest registration;
  v1::LeaseTaskRequest poll;
  v1::RenewLeaseRequest renewal;
  std::string renewal_peer;
  std::string layer_peer;
  std::vector<v1::PublishLayerRequest> parts;
  v1::CheckpointTaskRequest checkpoint;
  v1::CompleteTaskRequest completion;
  v1::FailTaskRequest failure;
  v1::ReleaseTaskRequest release;

  std::mutex mutex;
  std::condition_variable changed;
  bool is_holding = false;
};

class GrpcCoordinatorLinkTest : public testing::Test {
 protected:
  GrpcCoordinatorLinkTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    link_ = std::make_unique<GrpcCoordinatorLink>(
        CoordinatorChannels{.control = server_->InProcessChannel({})},
        WorkerIdentity{"worker-1", std::string(32, 'a'), "cpu/1", {{"cpu:0", "two cores", 1024}}});
  }
  ~GrpcCoordinatorLinkTest() override { server_->Shutdown(); }

  absl::Status Publish(std::string_view packed) {
    return link_->PublishLayer(lease_, {.layer = 3, .packed = packed, .linears = linears_}, std::stop_token());
  }

  RecordingService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcCoordinatorLink> link_;
  const Lease lease_ = AGrant("A").lease;
  std::vector<LinearReport> linears_ = std::vector<LinearReport>(1);
};

TEST_F(GrpcCoordinatorLinkTest, RegistrationSaysWhoCalls) {
  const auto registration = link_->Register(std::stop_token());

  ASSERT_TRUE(registration.ok()) << registration.status();
  EXPECT_EQ(registration->artifact_store_uri, "file:///artifacts");
  EXPECT_EQ(registration->heartbeat_period, seconds(10));
  EXPECT_EQ(service_.registration.worker_name(), "worker-1");
  EXPECT_EQ(service_.registration.numerics_class(), "cpu/1");
  EXPECT_EQ(service_.registration.slots(0).name(), "cpu:0");
  EXPECT_THAT(service_.registration.protocol_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+"));
}

TEST_F(GrpcCoordinatorLinkTest, PollBringsAGrantOrNothing) {
  const auto nothing = link_->PollTask({.poll_id = "poll-1", .wait = seconds(1)}, std::stop_token());
  service_.grant = AGrant("A");
  const auto something = link_->PollTask({.poll_id = "poll-2", .wait = seconds(1)}, std::stop_token());

  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_FALSE(nothing->grant.has_value());
  EXPECT_EQ(nothing->retry_after, milliseconds(250));
  ASSERT_TRUE(something.ok()) << something.status();
  EXPECT_EQ(something->grant->lease, lease_);
  EXPECT_EQ(service_.poll.poll_id(), "poll-2");
  EXPECT_EQ(service_.poll.incarnation(), std::string(32, 'a'));
}

TEST_F(GrpcCoordinatorLinkTest, RenewalBringsTheCancellation) {
  service_.cancel_requested = true;

  const auto answer = link_->RenewLease(lease_, {.counter = 9, .fraction = 0.5, .layer = 2, .step = "o_proj"}, {});

  EXPECT_EQ(answer.value(), RenewalAnswer::kCancelRequested);
  EXPECT_EQ(service_.renewal.lease().epoch(), 7);
  EXPECT_EQ(service_.renewal.progress().counter(), 9u);
}

TEST_F(GrpcCoordinatorLinkTest, LayerTravelsInChunksOfTheCoordinatorsSize) {
  ASSERT_TRUE(link_->Register(std::stop_token()).ok());
  linears_[0].name = "q_proj";

  ASSERT_TRUE(Publish("0123456789").ok());

  ASSERT_THAT(service_.parts, SizeIs(4));
  EXPECT_EQ(service_.parts[0].header().layer(), 3);
  EXPECT_EQ(service_.parts[0].header().linears(0).name(), "q_proj");
  EXPECT_EQ(service_.parts[0].header().digest().sha256_hex(), Digest::Of(AsBytes("0123456789")).hex());
  EXPECT_EQ(service_.parts[0].header().digest().size_bytes(), 10u);
  EXPECT_EQ(service_.parts[1].chunk().data(), "0123");
  EXPECT_EQ(service_.parts[3].chunk().data(), "89");
  EXPECT_EQ(service_.parts[3].chunk().offset(), 8u);
  EXPECT_EQ(service_.parts[3].chunk().crc32c(), Crc32c("89"));
}

TEST(GrpcCoordinatorLink, LayersDoNotTravelInFrontOfRenewals) {
  RecordingService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const std::string address = absl::StrCat("127.0.0.1:", port);
  GrpcCoordinatorLink link({.control = MakeChannel(address), .layers = MakeChannel(address)}, WorkerIdentity{});
  const Lease lease = AGrant("A").lease;

  ASSERT_TRUE(link.RenewLease(lease, {}, {}).ok());
  ASSERT_TRUE(link.PublishLayer(lease, {.layer = 0, .packed = "0123", .linears = {}}, {}).ok());

  EXPECT_NE(service.layer_peer, service.renewal_peer);
  server->Shutdown();
}

TEST_F(GrpcCoordinatorLinkTest, LayerGoesOnWhereAnEarlierCallEnded) {
  ASSERT_TRUE(link_->Register({}).ok());
  service_.received_bytes = 8;

  ASSERT_TRUE(Publish("0123456789").ok());

  EXPECT_EQ(service_.query.layer(), 3);
  EXPECT_EQ(service_.query.digest().sha256_hex(), Digest::Of(AsBytes("0123456789")).hex());
  ASSERT_EQ(service_.parts.size(), 2u);
  EXPECT_EQ(service_.parts[0].header().first_offset(), 8u);
  EXPECT_EQ(service_.parts[1].chunk().offset(), 8u);
  EXPECT_EQ(service_.parts[1].chunk().data(), "89");
}

TEST_F(GrpcCoordinatorLinkTest, LayerBeginsAnewWhenWhatAnEarlierCallLeftIsGone) {
  ASSERT_TRUE(link_->Register({}).ok());
  service_.received_bytes = 4;
  service_.forgets_uploads = true;

  ASSERT_TRUE(Publish("0123456789").ok());

  ASSERT_EQ(service_.parts.size(), 5u);  // the refused header, and all of it
  EXPECT_EQ(service_.parts[1].header().first_offset(), 0u);
  EXPECT_EQ(service_.parts[2].chunk().offset(), 0u);
}

TEST_F(GrpcCoordinatorLinkTest, ACheckpointTravelsWithItsReports) {
  TaskCheckpoint checkpoint = {
      .layer = 3, .sequence = 2, .artifact = Digest::Of(AsBytes("packed")), .linears = linears_};
  checkpoint.linears[0].name = "model.layers.3.self_attn.q_proj";

  ASSERT_TRUE(link_->CheckpointTask(lease_, checkpoint, {}).ok());

  EXPECT_EQ(*FromProto(service_.checkpoint.lease()), lease_);
  EXPECT_EQ(*FromProto(service_.checkpoint.checkpoint()), checkpoint);
}

TEST_F(GrpcCoordinatorLinkTest, RefusalInTheMiddleOfAStreamKeepsItsReason) {
  service_.status = Refuse(ErrorReason::kStaleEpoch, "granted to somebody else");

  const absl::Status status = Publish(std::string(20 << 20, 'x'));

  EXPECT_EQ(ReasonOf(status), ErrorReason::kStaleEpoch) << status;
  EXPECT_EQ(status.message(), "granted to somebody else");
}

TEST_F(GrpcCoordinatorLinkTest, EndOfATaskCarriesItsLease) {
  EXPECT_TRUE(link_->CompleteTask(lease_, {{}, EvaluateResult{12.5, 1000}}, {}).ok());
  EXPECT_TRUE(link_->ReleaseTask(lease_, {}).ok());

  EXPECT_EQ(service_.completion.lease().task_id(), "A");
  EXPECT_EQ(service_.completion.result().evaluate().perplexity(), 12.5);
  EXPECT_EQ(service_.release.lease().lease_token(), "t");
}

TEST_F(GrpcCoordinatorLinkTest, FailureMessageIsMadeFitForTheWire) {
  EXPECT_TRUE(link_->FailTask(lease_, {FailureClass::kInput, "bad \xff name\n" + std::string(10'000, 'x')}, {}).ok());

  EXPECT_EQ(service_.failure.failure_class(), v1::FAILURE_CLASS_INPUT);
  EXPECT_THAT(service_.failure.message(), testing::StartsWith("bad ? name?xxx"));
  EXPECT_THAT(service_.failure.message(), SizeIs(kMaxFailureMessageBytes));
}

TEST_F(GrpcCoordinatorLinkTest, FailureNamesWhatWasLost) {
  const Digest artifact = Digest::Of(AsBytes("a boundary"));

  EXPECT_TRUE(link_->FailTask(lease_, {FailureClass::kTransient, "gone", {artifact}}, {}).ok());

  ASSERT_EQ(service_.failure.lost_artifacts_size(), 1);
  EXPECT_EQ(FromProto(service_.failure.lost_artifacts(0)).value(), artifact);
}

TEST_F(GrpcCoordinatorLinkTest, StopEndsAPollThatWaits) {
  service_.hold_polls = true;
  std::stop_source stop;
  absl::Status status;
  std::jthread poller(
      [&] { status = link_->PollTask({.poll_id = "poll-1", .wait = seconds(60)}, stop.get_token()).status(); });
  {
    std::unique_lock lock(service_.mutex);
    service_.changed.wait(lock, [&] { return service_.is_holding; });
  }

  stop.request_stop();
  poller.join();

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(ReasonOf(status).has_value());
}

TEST_F(GrpcCoordinatorLinkTest, CallThatAStoppingCoordinatorCancelsIsUnavailable) {
  service_.status = absl::CancelledError("CANCELLED");  // as gRPC says it of calls that no handler took

  EXPECT_TRUE(
      absl::IsUnavailable(link_->PollTask({.poll_id = "poll-1", .wait = milliseconds(0)}, std::stop_token()).status()));
  EXPECT_TRUE(absl::IsUnavailable(Publish("layer")));
  EXPECT_TRUE(absl::IsUnavailable(link_->CompleteTask(lease_, {{}, QuantizeResult{}}, std::stop_token())));
}

TEST_F(GrpcCoordinatorLinkTest, StopBeforeTheCallEndsItToo) {
  std::stop_source stop;
  stop.request_stop();

  EXPECT_EQ(link_->ReleaseTask(lease_, stop.get_token()).code(), absl::StatusCode::kCancelled);
}

TEST(GrpcCoordinatorLink, CoordinatorThatIsNotThereIsUnavailable) {
  GrpcCoordinatorLink link({.control = MakeChannel("unix:/nonexistent/coordinator.sock")}, WorkerIdentity{});

  EXPECT_EQ(link.Register(std::stop_token()).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace gptvq
