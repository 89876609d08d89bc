#include "server/coordinator_daemon.h"

#include <gtest/gtest.h>

#include <sstream>
#include <thread>

#include "gptvq/v1/job_service.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "platform/rpc/channel.h"
#include "platform/rpc/status.h"
#include "tests/server/service_fixture.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_authority.h"

namespace gptvq {
namespace {

class CoordinatorDaemonTest : public testing::Test {
 protected:
  CoordinatorDaemonOptions Options() const {
    CoordinatorDaemonOptions options;
    options.data_directory = directory_.Join("data");
    return options;
  }
  absl::StatusOr<std::unique_ptr<CoordinatorDaemon>> Start(const CoordinatorDaemonOptions& options) {
    return CoordinatorDaemon::Start(options, probe_, clock_, registry_, log_);
  }

  const TemporaryDirectory directory_;
  FakeInputProbe probe_;
  SystemClock clock_;
  MetricsRegistry registry_{"coordinator"};
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
};

absl::StatusOr<v1::Job> SubmitTo(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::SubmitJobResponse response;
  const grpc::Status status = v1::JobService::NewStub(channel)->SubmitJob(&context, ASubmitRequest(), &response);
  if (!status.ok()) return FromGrpcStatus(status);
  return response.job();
}

TEST_F(CoordinatorDaemonTest, ServesOnAPortItPickedAndOnAUnixSocket) {
  const auto tcp = Start(Options());
  ASSERT_TRUE(tcp.ok()) << tcp.status();
  CoordinatorDaemonOptions unix_options = Options();
  unix_options.data_directory = directory_.Join("other");
  unix_options.server.address = "unix:" + directory_.Join("socket");
  const auto unix_socket = Start(unix_options);
  ASSERT_TRUE(unix_socket.ok()) << unix_socket.status();

  EXPECT_NE((*tcp)->address(), "127.0.0.1:0");
  EXPECT_TRUE(SubmitTo(MakeChannel((*tcp)->address())).ok());
  EXPECT_TRUE(SubmitTo(MakeChannel((*unix_socket)->address())).ok());
  EXPECT_TRUE(SubmitTo((*tcp)->InProcessChannel()).ok());
  EXPECT_EQ((*tcp)->artifact_store_uri(), "file://" + directory_.Join("data") + "/store");
}

TEST_F(CoordinatorDaemonTest, KeepsJobsAcrossARestart) {
  std::string job_id;
  {
    const auto daemon = Start(Options());
    job_id = SubmitTo((*daemon)->InProcessChannel())->job_id();
  }
  const auto daemon = Start(Options());
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  probe_.answer = absl::NotFoundError("not looked at again");

  const auto again = SubmitTo((*daemon)->InProcessChannel());

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->job_id(), job_id);
}

TEST_F(CoordinatorDaemonTest, ASecondOneOnTheSameDirectoryOrPortIsRefused) {
  const auto first = Start(Options());
  ASSERT_TRUE(first.ok());
  CoordinatorDaemonOptions same_port = Options();
  same_port.data_directory = directory_.Join("other");
  same_port.server.address = (*first)->address();

  EXPECT_EQ(Start(Options()).status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status taken = Start(same_port).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(taken.message().find((*first)->address()), std::string::npos);
}

TEST_F(CoordinatorDaemonTest, RefusesOptionsThatCannotWork) {
  CoordinatorDaemonOptions no_directory = Options();
  no_directory.data_directory = "";
  CoordinatorDaemonOptions short_ttl = Options();
  short_ttl.lease_ttl = std::chrono::milliseconds(99);
  CoordinatorDaemonOptions short_stall = Options();
  short_stall.stall_after = std::chrono::milliseconds(999);
  CoordinatorDaemonOptions bad_store = Options();
  bad_store.artifact_store_uri = "gopher://x";

  EXPECT_EQ(Start(no_directory).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(short_ttl).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(short_stall).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(bad_store).status().code(), absl::StatusCode::kInvalidArgument);
}

// Asks grpc.health.v1.Health by hand: Debian ships no header for it. Field 1 of both messages; SERVING is 1.
std::string Health(const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
  grpc::ByteBuffer answer;
  std::string request;
  if (!service.empty()) request = std::string("\x0a") + static_cast<char>(service.size()) + service;
  grpc::Slice slice(request);
  grpc::ByteBuffer message(&slice, 1);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call =
      grpc::GenericStub(channel).PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", message, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return status.error_message();
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (answer.Valid() && answer.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return bytes;
}

TEST(Health, TellsAliveFromReadyWhileTheJournalIsLoadedAndWhileDraining) {
  ServiceOptions options;
  options.journal = ServiceOptions::Journal::kLoadedByTheTest;
  Service service(options);
  const auto channel = MakeChannel(service.server->address());
  v1::GetJobRequest request;
  request.set_job_id("job-0123456789abcdef");
  v1::GetJobResponse response;
  const auto get = [&] {
    return ReasonOf(service.Call(*service.jobs, &v1::JobService::Stub::GetJob, request, response));
  };

  EXPECT_EQ(Health(channel, ""), std::string("\x08\x01"));
  EXPECT_EQ(Health(channel, "gptvq.v1.JobService"), std::string("\x08\x02"));
  EXPECT_EQ(get(), ErrorReason::kNotReady);
  ASSERT_TRUE(service.coordinator.Start([](const absl::Status&) {}).ok());
  service.server->ShowServing();
  EXPECT_EQ(Health(channel, "gptvq.v1.WorkerService"), std::string("\x08\x01"));
  EXPECT_EQ(get(), ErrorReason::kJobUnknown);
  service.server->ShowNotServing();
  EXPECT_EQ(Health(channel, ""), std::string("\x08\x01"));
  EXPECT_EQ(Health(channel, "gptvq.v1.JobService"), std::string("\x08\x02"));
}

TEST(Drain, NoTaskIsGrantedAndALayerThatIsBeingPublishedIsTaken) {
  Service service;
  v1::SubmitJobResponse submitted;
  ASSERT_TRUE(service.Call(*service.jobs, &v1::JobService::Stub::SubmitJob, ASubmitRequest(), submitted).ok());
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();
  grpc::ClientContext context;
  v1::PublishLayerResponse published;
  const auto over_tcp = v1::WorkerService::NewStub(MakeChannel(service.server->address()));
  const auto writer = over_tcp->PublishLayer(&context, &published);
  ASSERT_TRUE(writer->Write(TestWorker::Header(lease, 0, "a layer")));
  ASSERT_TRUE(writer->Write(TestWorker::Chunk(0, "a la")));

  service.coordinator.Drain();
  v1::LeaseTaskResponse polled;
  EXPECT_EQ(ReasonOf(service.Call(*service.workers, &v1::WorkerService::Stub::LeaseTask, APoll("late"), polled)),
            ErrorReason::kStopping);
  {
    const std::jthread stopping([&service] { service.server->Shutdown(std::chrono::seconds(60)); });
    writer->Write(TestWorker::Chunk(4, "yer"));
    writer->WritesDone();
    EXPECT_TRUE(writer->Finish().ok());
  }

  EXPECT_EQ(published.acceptance(), v1::PublishLayerResponse::ACCEPTANCE_PUBLISHED);
  EXPECT_EQ(service.coordinator.FindJob(submitted.job().job_id())->job.status.published_layers, 1);
}

TEST_F(CoordinatorDaemonTest, AnswersHealthChecksUntilItStops) {
  const auto daemon = Start(Options());
  const auto channel = MakeChannel((*daemon)->address());

  EXPECT_EQ(Health(channel, ""), std::string("\x08\x01"));
  EXPECT_EQ(Health(channel, "gptvq.v1.JobService"), std::string("\x08\x01"));
  EXPECT_EQ(Health(channel, "gptvq.v1.WorkerService"), std::string("\x08\x01"));
  (*daemon)->Stop(std::chrono::milliseconds(0));
  EXPECT_FALSE(SubmitTo(channel).ok());
}

TEST_F(CoordinatorDaemonTest, ServesReflectionOnlyWhenAsked) {
  const auto has_reflection = [](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    grpc::ByteBuffer message;
    const auto call = grpc::GenericStub(channel).PrepareUnaryCall(
        &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", message, &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status.error_code() != grpc::StatusCode::UNIMPLEMENTED;
  };
  CoordinatorDaemonOptions with = Options();
  with.data_directory = directory_.Join("with");
  with.server.reflection = Reflection::kOn;

  EXPECT_FALSE(has_reflection((*Start(Options()))->InProcessChannel()));
  EXPECT_TRUE(has_reflection((*Start(with))->InProcessChannel()));
}

TEST_F(CoordinatorDaemonTest, AnswersProbesWithoutACertificateOnAnAddressThatServesNothingElse) {
  TestAuthority authority;
  CoordinatorDaemonOptions options = Options();
  options.server.tls = authority.IssueToCoordinator();
  options.health_address = "unix:" + directory_.Join("health");
  const auto daemon = Start(options);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const auto probe = MakeChannel(options.health_address);

  EXPECT_EQ(Health(probe, ""), std::string("\x08\x01"));
  EXPECT_EQ(Health(probe, "gptvq.v1.JobService"), std::string("\x08\x01"));
  EXPECT_EQ(SubmitTo(probe).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(Health(MakeChannel((*daemon)->address()), ""), std::string("\x08\x01"));
}

}  // namespace
}  // namespace gptvq
