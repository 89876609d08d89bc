// Both services over real TLS, with certificates of the openssl program: who gets in, and who may do what.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "grpcpp/generic/generic_stub.h"
#include "platform/option_values.h"
#include "platform/rpc/channel.h"
#include "platform/tls/tls_probe.h"
#include "server/method_table.h"
#include "tests/server/service_fixture.h"
#include "tests/support/test_authority.h"

namespace gptvq {
namespace {

constexpr std::chrono::milliseconds kProbeTimeout(20'000);

class TlsServiceTest : public testing::Test {
 protected:
  ServiceOptions Options() {
    ServiceOptions options;
    options.server.tls = authority_.IssueToCoordinator();
    options.trust_domain = "example.org";
    options.audit_file = authority_.Join("audit");
    return options;
  }
  ConnectionSecurity As(const std::string& role_and_name) { return {authority_.IssueTo(role_and_name), ""}; }

  static std::unique_ptr<v1::JobService::Stub> Jobs(const Service& service, const ConnectionSecurity& security) {
    return v1::JobService::NewStub(MakeChannel(service.server->address(), security));
  }
  static std::unique_ptr<v1::WorkerService::Stub> Workers(const Service& service, const ConnectionSecurity& security) {
    return v1::WorkerService::NewStub(MakeChannel(service.server->address(), security));
  }

  static absl::Status Submit(v1::JobService::Stub& jobs, const std::string& request_id, std::string* job_id = nullptr) {
    grpc::ClientContext context;
    v1::SubmitJobResponse response;
    const absl::Status status =
        FromGrpcStatus(jobs.SubmitJob(&context, ASubmitRequest(AJobSpec(), request_id), &response));
    if (job_id != nullptr) *job_id = response.job().job_id();
    return status;
  }
  static absl::Status Capabilities(v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetCapabilitiesResponse response;
    return FromGrpcStatus(jobs.GetCapabilities(&context, {}, &response));
  }
  static absl::Status Capabilities(const Service& service, const ConnectionSecurity& security) {
    return Capabilities(*Jobs(service, security));
  }
  static absl::Status Register(v1::WorkerService::Stub& workers, const std::string& name) {
    grpc::ClientContext context;
    v1::RegisterWorkerResponse response;
    return FromGrpcStatus(workers.RegisterWorker(&context, ARegistration(name), &response));
  }

  std::vector<nlohmann::json> AuditLines() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(authority_.Join("audit"));
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  TestAuthority authority_;
};

TEST_F(TlsServiceTest, NobodyGetsInWithoutACertificateOfTheAuthority) {
  Service service(Options());
  TestAuthority stranger;
  ConnectionSecurity of_stranger{stranger.IssueTo("client/alice"), ""};
  of_stranger.tls.authority = authority_.authority_file();
  const ConnectionSecurity expired{
      authority_.Issue({.names = "URI:spiffe://example.org/gptvq/client/alice", .days = -1}), ""};
  const ConnectionSecurity as_server{
      authority_.Issue({.names = "URI:spiffe://example.org/gptvq/client/alice", .usage = "serverAuth"}), ""};

  EXPECT_TRUE(Capabilities(service, As("client/alice")).ok());
  EXPECT_EQ(Capabilities(service, {}).code(), absl::StatusCode::kUnavailable);  // plain text on a TLS port
  EXPECT_EQ(Capabilities(service, of_stranger).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Capabilities(service, expired).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Capabilities(service, as_server).code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsServiceTest, ACallerRefusesACoordinatorOfAnotherAuthorityOrForAnotherHost) {
  ServiceOptions options = Options();
  options.server.tls = authority_.Issue({.names = "URI:spiffe://example.org/gptvq/coordinator/main,DNS:elsewhere"});
  options.audit_file.clear();
  Service elsewhere(std::move(options));
  Service service(Options());
  TestAuthority stranger;
  ConnectionSecurity trusts_stranger = As("client/alice");
  trusts_stranger.tls.authority = stranger.authority_file();

  EXPECT_EQ(Capabilities(elsewhere, As("client/alice")).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Capabilities(service, trusts_stranger).code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsServiceTest, AProbeSaysInWordsWhyAHandshakeFails) {
  Service service(Options());
  Service plain;
  const std::string& address = service.server->address();
  TestAuthority stranger;
  TlsFiles trusts_stranger = authority_.IssueTo("client/alice");
  trusts_stranger.authority = stranger.authority_file();
  TlsFiles of_stranger = stranger.IssueTo("client/alice");
  of_stranger.authority = authority_.authority_file();
  const TlsFiles expired = authority_.Issue({.names = "URI:spiffe://example.org/gptvq/client/alice", .days = -1});
  const TlsFiles sound = authority_.IssueTo("client/alice");

  const absl::StatusOr<TlsHandshake> handshake = ProbeTls(address, sound, HostCheck::kNamesTheHost, kProbeTimeout);
  ASSERT_TRUE(handshake.ok()) << handshake.status();
  EXPECT_EQ(handshake->version, "TLSv1.3");
  EXPECT_EQ(handshake->server.hosts, (std::vector<std::string>{"localhost", "127.0.0.1"}));
  for (const auto& [files, where, words] :
       {std::tuple(trusts_stranger, address, "the coordinator's certificate"),
        std::tuple(of_stranger, address, "the coordinator refused"), std::tuple(expired, address, "in its time"),
        std::tuple(sound, plain.server->address(), "does not speak TLS")}) {
    const absl::Status status = ProbeTls(where, files, HostCheck::kNamesTheHost, kProbeTimeout).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << words;
    EXPECT_NE(status.message().find(words), std::string::npos) << status;
  }
  EXPECT_EQ(*ProbeWire(address, kProbeTimeout), Wire::kTls);
  EXPECT_EQ(*ProbeWire(plain.server->address(), kProbeTimeout), Wire::kPlain);
  EXPECT_EQ(ProbeAddress("unix:/nonexistent", kProbeTimeout).code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsServiceTest, ARoleDoesItsOwnWorkOnly) {
  Service service(Options());

  EXPECT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  EXPECT_TRUE(Register(*Workers(service, As("worker/worker-a")), "worker-a").ok());
  EXPECT_EQ(Submit(*Jobs(service, As("worker/worker-a")), kRequestId).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Register(*Workers(service, As("client/worker-a")), "worker-a").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Register(*Workers(service, As("admin/worker-a")), "worker-a").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Capabilities(service, As("coordinator/main")).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(TlsServiceTest, ACertificateWithoutExactlyOneIdentityOfTheDomainHasNoRole) {
  Service service(Options());
  for (const char* names :
       {"DNS:localhost", "URI:spiffe://example.com/gptvq/admin/root", "URI:https://example.org/admin",
        "URI:spiffe://example.org/gptvq/client/a,URI:spiffe://example.org/gptvq/admin/a"}) {
    EXPECT_EQ(Capabilities(service, {authority_.Issue({.names = names}), ""}).code(),
              absl::StatusCode::kPermissionDenied)
        << names;
  }
}

TEST_F(TlsServiceTest, AWorkerSpeaksForNobodyElse) {
  Service service(Options());
  const auto a = Workers(service, As("worker/worker-a"));
  const auto b = Workers(service, As("worker/worker-b"));
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  ASSERT_TRUE(Register(*a, "worker-a").ok());
  grpc::ClientContext poll_context;
  v1::LeaseTaskResponse granted;
  ASSERT_TRUE(FromGrpcStatus(a->LeaseTask(&poll_context, APoll("p", "worker-a"), &granted)).ok());
  const v1::Lease& lease = granted.grant().lease();
  ASSERT_FALSE(lease.lease_token().empty());

  const auto expect_mismatch = [](const grpc::Status& status) {
    EXPECT_EQ(ReasonOf(FromGrpcStatus(status)), ErrorReason::kIdentityMismatch) << status.error_message();
  };
  EXPECT_EQ(ReasonOf(Register(*b, "worker-a")), ErrorReason::kIdentityMismatch);
  {
    grpc::ClientContext context;
    v1::LeaseTaskResponse response;
    expect_mismatch(b->LeaseTask(&context, APoll("q", "worker-a"), &response));
  }
  {
    grpc::ClientContext context;
    v1::RenewLeaseRequest request;
    *request.mutable_lease() = lease;
    v1::RenewLeaseResponse response;
    expect_mismatch(b->RenewLease(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::FailTaskRequest request;
    *request.mutable_lease() = lease;
    request.set_failure_class(v1::FAILURE_CLASS_FATAL);
    v1::FailTaskResponse response;
    expect_mismatch(b->FailTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::ReleaseTaskRequest request;
    *request.mutable_lease() = lease;
    v1::ReleaseTaskResponse response;
    expect_mismatch(b->ReleaseTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::PublishLayerResponse response;
    const auto writer = b->PublishLayer(&context, &response);
    writer->Write(TestWorker::Header(lease, 0, "bytes"));
    writer->WritesDone();
    expect_mismatch(writer->Finish());
  }
  {
    grpc::ClientContext context;
    v1::CheckpointTaskRequest request;
    *request.mutable_lease() = lease;
    v1::CheckpointTaskResponse response;
    expect_mismatch(b->CheckpointTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::CompleteTaskRequest request;
    *request.mutable_lease() = lease;
    v1::CompleteTaskResponse response;
    expect_mismatch(b->CompleteTask(&context, request, &response));
  }
}

TEST_F(TlsServiceTest, AClientSeesAndCancelsItsOwnJobsOnlyAndAnAdminAll) {
  Service service(Options());
  const auto alice = Jobs(service, As("client/alice"));
  const auto bob = Jobs(service, As("client/bob"));
  const auto root = Jobs(service, As("admin/root"));
  std::string job_id;
  ASSERT_TRUE(Submit(*alice, kRequestId, &job_id).ok());

  const auto get = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    v1::GetJobResponse response;
    return FromGrpcStatus(jobs.GetJob(&context, request, &response));
  };
  const auto report = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetReportRequest request;
    request.set_job_id(job_id);
    v1::GetReportResponse response;
    return FromGrpcStatus(jobs.GetReport(&context, request, &response));
  };
  const auto watch = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    const auto reader = jobs.WatchJob(&context, request);
    v1::WatchJobResponse response;
    EXPECT_FALSE(reader->Read(&response));
    return FromGrpcStatus(reader->Finish());
  };
  const auto cancel = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_job_id(job_id);
    v1::CancelJobResponse response;
    return FromGrpcStatus(jobs.CancelJob(&context, request, &response));
  };
  const auto count = [](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    EXPECT_TRUE(jobs.ListJobs(&context, {}, &response).ok());
    return response.jobs_size();
  };

  for (const absl::Status& foreign : {get(*bob), report(*bob), watch(*bob), cancel(*bob)}) {
    EXPECT_EQ(ReasonOf(foreign), ErrorReason::kJobUnknown) << foreign;
    EXPECT_EQ(foreign.message(), "no job " + job_id);  // the words for a job that does not exist
  }
  EXPECT_EQ(ReasonOf(Submit(*bob, kRequestId)), ErrorReason::kIdempotencyMismatch);
  EXPECT_EQ(count(*alice), 1);
  EXPECT_EQ(count(*bob), 0);
  EXPECT_EQ(count(*root), 1);
  EXPECT_TRUE(get(*alice).ok() && get(*root).ok() && report(*alice).ok());
  EXPECT_TRUE(cancel(*root).ok());

  const std::vector<nlohmann::json> lines = AuditLines();
  ASSERT_EQ(lines.size(), 7u);  // a submit, four denials, a submit that was refused, a cancellation
  EXPECT_EQ(lines[0]["method"], "SubmitJob");
  EXPECT_EQ(lines[0]["identity"], "client/alice");
  EXPECT_EQ(lines[0]["job"], job_id);
  EXPECT_EQ(lines[4]["method"], "CancelJob");
  EXPECT_EQ(lines[4]["identity"], "client/bob");
  EXPECT_EQ(lines[4]["decision"], "denied");
  EXPECT_EQ(lines[6]["identity"], "admin/root");
  EXPECT_EQ(lines[6]["decision"], "allowed");
}

TEST_F(TlsServiceTest, TheTasksOfOthersAreNotShownWithTheWorkers) {
  Service service(Options());
  const auto worker = Workers(service, As("worker/worker-a"));
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  ASSERT_TRUE(Register(*worker, "worker-a").ok());
  grpc::ClientContext poll_context;
  v1::LeaseTaskResponse granted;
  ASSERT_TRUE(worker->LeaseTask(&poll_context, APoll("p", "worker-a"), &granted).ok());

  const auto shown = [&](const std::string& role_and_name) {
    grpc::ClientContext context;
    v1::ListWorkersResponse response;
    EXPECT_TRUE(Jobs(service, As(role_and_name))->ListWorkers(&context, {}, &response).ok());
    EXPECT_EQ(response.workers_size(), 1);
    return response.workers(0).leased_task_ids_size();
  };
  EXPECT_EQ(shown("client/alice"), 1);
  EXPECT_EQ(shown("admin/root"), 1);
  EXPECT_EQ(shown("client/bob"), 0);
}

// Calls any method with an empty message and says how that went; OK as soon as it answers.
grpc::Status CallAny(grpc::GenericStub& stub, const std::string& path) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  const auto call = stub.PrepareCall(&context, path, &queue);
  call->StartCall(nullptr);
  grpc::Status status;
  grpc::ByteBuffer answer;
  if (next()) {
    const grpc::Slice nothing;
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    next();
    call->Read(&answer, nullptr);
    if (next()) context.TryCancel();
  }
  const bool has_answer = answer.Valid();
  call->Finish(&status, nullptr);
  next();
  return has_answer ? grpc::Status::OK : status;
}

TEST_F(TlsServiceTest, EveryMethodIsForItsRolesAndDeniedToAllOthers) {
  // c: client, a: admin, o: observer, w: worker. Nobody calls as a coordinator.
  const std::map<std::string, std::string> who_may = {
      {"/gptvq.v1.JobService/SubmitJob", "ca"},
      {"/gptvq.v1.JobService/GetJob", "cao"},
      {"/gptvq.v1.JobService/ListJobs", "cao"},
      {"/gptvq.v1.JobService/WatchJob", "cao"},
      {"/gptvq.v1.JobService/CancelJob", "ca"},
      {"/gptvq.v1.JobService/GetReport", "cao"},
      {"/gptvq.v1.JobService/ListWorkers", "cao"},
      {"/gptvq.v1.JobService/GetCapabilities", "caow"},
      {"/gptvq.v1.JobService/ReleaseWorker", "a"},
      {"/gptvq.v1.WorkerService/RegisterWorker", "w"},
      {"/gptvq.v1.WorkerService/LeaseTask", "w"},
      {"/gptvq.v1.WorkerService/RenewLease", "w"},
      {"/gptvq.v1.WorkerService/PublishLayer", "w"},
      {"/gptvq.v1.WorkerService/QueryUpload", "w"},
      {"/gptvq.v1.WorkerService/CheckpointTask", "w"},
      {"/gptvq.v1.WorkerService/CompleteTask", "w"},
      {"/gptvq.v1.WorkerService/FailTask", "w"},
      {"/gptvq.v1.WorkerService/ReleaseTask", "w"},
      {"/grpc.health.v1.Health/Check", "caow"},
      {"/grpc.health.v1.Health/Watch", "caow"},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "a"},
      // What is not in the table, whether the server could have it or not.
      {"/gptvq.v1.JobService/DropJobs", ""},
      {"/gptvq.v1.JobService/submitjob", ""},
      {"/gptvq.v2.JobService/GetJob", ""},
      {"/grpc.channelz.v1.Channelz/GetServers", ""},
      {"/other.Service/Method", ""},
  };
  std::set<std::string> listed;
  for (const MethodRule& rule : MethodTable()) listed.emplace(rule.path);
  for (const auto& [path, roles] : who_may) EXPECT_EQ(listed.contains(path), !roles.empty()) << path;
  for (const std::string& path : listed) EXPECT_TRUE(who_may.contains(path)) << path << " is not in this test";
  Service service(Options());

  for (const auto& [letter, identity] : std::map<char, std::string>{
           {'c', "client/x"}, {'a', "admin/x"}, {'o', "observer/x"}, {'w', "worker/x"}, {'-', "coordinator/x"}}) {
    grpc::GenericStub stub(MakeChannel(service.server->address(), As(identity)));
    for (const auto& [path, roles] : who_may) {
      const grpc::Status status = CallAny(stub, path);
      const bool was_denied = status.error_code() == grpc::StatusCode::PERMISSION_DENIED &&
                              status.error_message().find(identity + " may not call") == 0;
      EXPECT_EQ(was_denied, roles.find(letter) == std::string::npos)
          << identity << " calls " << path << ": " << status.error_message();
    }
  }
}

TEST_F(TlsServiceTest, AnObserverSeesTheJobsOfAllAndCanNotCancelThem) {
  Service service(Options());
  std::string job_id;
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId, &job_id).ok());
  const auto observer = Jobs(service, As("observer/dashboard"));
  v1::GetJobRequest get;
  get.set_job_id(job_id);
  v1::GetJobResponse job;
  v1::CancelJobRequest cancel;
  cancel.set_job_id(job_id);
  v1::CancelJobResponse cancelled;

  EXPECT_TRUE(service.Call(*observer, &v1::JobService::Stub::GetJob, get, job).ok());
  EXPECT_EQ(service.Call(*observer, &v1::JobService::Stub::CancelJob, cancel, cancelled).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(TlsServiceTest, ARevokedCertificateIsRefusedOnConnectionsThatStandAndInCallsThatLast) {
  const ConnectionSecurity alice = As("client/alice");
  const ConnectionSecurity bob = As("client/bob");
  ServiceOptions options = Options();
  options.revocations_file = authority_.Revoke(authority_.IssueTo("client/somebody"));
  Service service(std::move(options));
  const auto jobs = Jobs(service, alice);
  std::string job_id;
  ASSERT_TRUE(Submit(*jobs, kRequestId, &job_id).ok());
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  const auto watching = jobs->WatchJob(&context, request);
  v1::WatchJobResponse news;
  ASSERT_TRUE(watching->Read(&news));

  authority_.Revoke(alice.tls);

  const absl::Status standing = Capabilities(*jobs);
  EXPECT_EQ(standing.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(standing.message().find("was revoked by its authority"), std::string::npos) << standing;
  while (watching->Read(&news)) {
  }
  EXPECT_EQ(ReasonOf(FromGrpcStatus(watching->Finish())), ErrorReason::kCertificateRefused);
  EXPECT_EQ(Capabilities(service, alice).code(), absl::StatusCode::kUnauthenticated);  // a new connection
  EXPECT_TRUE(Capabilities(service, bob).ok());
  const std::vector<nlohmann::json> lines = AuditLines();
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const nlohmann::json& line) {
    return line["reason"] == "CERTIFICATE_REFUSED" && line["identity"] == "client/alice" &&
           line["decision"] == "denied";
  }));
}

TEST_F(TlsServiceTest, AWorkerCanNotPoseAsTheCoordinator) {
  ServiceOptions options = Options();
  options.server.tls =
      authority_.Issue({.names = "URI:spiffe://example.org/gptvq/worker/w,DNS:localhost,IP:127.0.0.1"});
  Service service(std::move(options));
  const ConnectionSecurity alice = As("client/alice");

  EXPECT_EQ(Capabilities(service, alice).code(), absl::StatusCode::kUnavailable);
  const absl::Status probed =
      ProbeTls(service.server->address(), alice.tls, HostCheck::kNamesTheHost, kProbeTimeout).status();
  EXPECT_NE(probed.message().find("is that of worker/w, which may not serve"), std::string::npos) << probed;
}

TEST_F(TlsServiceTest, OneOfSeveralCoordinatorsIsKnownByItsRoleWhateverItsHost) {
  ServiceOptions elsewhere = Options();
  elsewhere.server.tls = authority_.Issue({.names = "URI:spiffe://example.org/gptvq/coordinator/b,DNS:b.example"});
  elsewhere.audit_file.clear();
  ServiceOptions posing = Options();
  posing.server.tls = authority_.Issue({.names = "URI:spiffe://example.org/gptvq/worker/w,DNS:b.example"});
  posing.audit_file.clear();
  Service leads(std::move(elsewhere));
  leads.server->ShowServing();
  Service poses(std::move(posing));
  poses.server->ShowServing();
  Service stands_by(Options());
  const ConnectionSecurity alice = As("client/alice");
  const auto several = [&](const Service& other) {
    const auto jobs =
        v1::JobService::NewStub(MakeChannel(stands_by.server->address() + "," + other.server->address(), alice));
    grpc::ClientContext context;
    context.set_wait_for_ready(&other == &leads);
    v1::GetCapabilitiesResponse response;
    return FromGrpcStatus(jobs->GetCapabilities(&context, {}, &response));
  };

  EXPECT_TRUE(several(leads).ok());
  EXPECT_EQ(several(poses).code(), absl::StatusCode::kUnavailable);
}

// Server ends of connections to `port` in this process.
int ConnectionsAt(int port) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int file = std::stoi(entry.path().filename());
    sockaddr_in own = {};
    sockaddr_in other = {};
    socklen_t own_size = sizeof(own);
    socklen_t other_size = sizeof(other);
    const bool is_connected = getsockname(file, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
                              getpeername(file, reinterpret_cast<sockaddr*>(&other), &other_size) == 0;
    if (is_connected && own.sin_family == AF_INET && ntohs(own.sin_port) == port) ++count;
  }
  return count;
}

TEST_F(TlsServiceTest, ConnectionsThatSayNothingAreCappedAndReapedWhileOthersGoOn) {
  constexpr int kCap = 8;
  ServiceOptions options = Options();
  options.server.max_connections = kCap;
  options.server.handshake_timeout = std::chrono::seconds(5);
  Service service(std::move(options));
  const int port = ParseHostPort(service.server->address())->port;
  const ConnectionSecurity alice = As("client/alice");
  const auto standing = Jobs(service, alice);
  ASSERT_TRUE(Capabilities(*standing).ok());
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  std::vector<int> silent;
  for (int i = 0; i < 10 * kCap; ++i) {
    silent.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval deadline = {.tv_sec = 60, .tv_usec = 0};
    setsockopt(silent.back(), SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
    ASSERT_EQ(connect(silent.back(), reinterpret_cast<const sockaddr*>(&where), sizeof(where)), 0);
    EXPECT_LE(ConnectionsAt(port), kCap + 1);  // one may just have been accepted to be closed
  }
  EXPECT_TRUE(Capabilities(*standing).ok());

  for (const int one : silent) {
    char byte = 0;
    EXPECT_TRUE(recv(one, &byte, 1, 0) == 0 || errno == ECONNRESET);
    close(one);
  }
  EXPECT_TRUE(Capabilities(service, alice).ok());
}

TEST_F(TlsServiceTest, AConnectionWithoutCallsIsClosedAndMadeAnewForTheNextOne) {
  ServiceOptions options = Options();
  options.server.idle_timeout = std::chrono::seconds(1);
  Service service(std::move(options));
  const int port = ParseHostPort(service.server->address())->port;
  const auto standing = Jobs(service, As("client/alice"));
  ASSERT_TRUE(Capabilities(*standing).ok());

  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (ConnectionsAt(port) > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(ConnectionsAt(port), 0);
  EXPECT_TRUE(Capabilities(*standing).ok());
}

TEST_F(TlsServiceTest, AClientShowsATokenWhereTheCoordinatorWantsOne) {
  const auto write = [this](const std::string& name, const std::string& text) {
    std::ofstream(authority_.Join(name)) << text;
    chmod(authority_.Join(name).c_str(), 0600);
    return authority_.Join(name);
  };
  ServiceOptions options = Options();
  options.tokens_file = write("tokens", "client/alice " + Digest::Of(AsBytes(std::string_view("sesame"))).hex() + "\n");
  Service service(std::move(options));
  ConnectionSecurity alice = As("client/alice");
  EXPECT_EQ(Capabilities(service, alice).code(), absl::StatusCode::kUnauthenticated);
  alice.token_file = write("wrong", "sesam\n");
  EXPECT_EQ(Capabilities(service, alice).code(), absl::StatusCode::kUnauthenticated);
  alice.token_file = authority_.Join("missing");
  EXPECT_FALSE(Capabilities(service, alice).ok());
  alice.token_file = write("right", "sesame\n");
  EXPECT_TRUE(Capabilities(service, alice).ok());
  ConnectionSecurity bob = As("client/bob");
  bob.token_file = alice.token_file;
  EXPECT_EQ(Capabilities(service, bob).code(), absl::StatusCode::kUnauthenticated);
  grpc::GenericStub probe(MakeChannel(service.server->address(), As("observer/probe")));
  EXPECT_TRUE(CallAny(probe, "/grpc.health.v1.Health/Check").ok());                  // probes have none
  EXPECT_TRUE(Register(*Workers(service, As("worker/worker-a")), "worker-a").ok());  // workers need none

  for (const nlohmann::json& line : AuditLines()) EXPECT_EQ(line.dump().find("sesam"), std::string::npos) << line;
  const ConnectionSecurity in_plain_text{{}, alice.token_file};
  EXPECT_EQ(in_plain_text.Validate().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TlsServiceTest, AMessageOverTheLimitIsRefusedAndTheConnectionLives) {
  Service service(Options());
  const auto jobs = Jobs(service, As("client/alice"));
  for (const std::size_t bytes : {std::size_t{3} << 19, std::size_t{3} << 20}) {  // over ours, over gRPC's
    v1::SubmitJobRequest request = ASubmitRequest();
    request.mutable_spec()->set_model_uri(std::string(bytes, 'x'));
    grpc::ClientContext context;
    v1::SubmitJobResponse response;
    EXPECT_EQ(jobs->SubmitJob(&context, request, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_TRUE(Capabilities(*jobs).ok());
  }
}

// Puts new files where the old ones are, all at once, as Kubernetes does.
void PointTo(const std::string& link, const std::string& folder) {
  std::filesystem::create_symlink(folder, link + ".new");
  std::filesystem::rename(link + ".new", link);
}

TEST_F(TlsServiceTest, ARenewedCertificateIsUsedWithoutARestart) {
  const auto store = [this](const std::string& folder, const TlsFiles& files) {
    std::filesystem::create_directories(authority_.Join(folder));
    std::filesystem::copy_file(files.certificate, authority_.Join(folder) + "/cert.pem");
    std::filesystem::copy_file(files.key, authority_.Join(folder) + "/key.pem");
    std::filesystem::copy_file(files.authority, authority_.Join(folder) + "/ca.pem");
    return authority_.Join(folder);
  };
  const std::string now = authority_.Join("now");
  PointTo(now, store("old", authority_.IssueToCoordinator()));
  ServiceOptions options = Options();
  options.server.tls = {now + "/cert.pem", now + "/key.pem", now + "/ca.pem"};
  Service service(std::move(options));
  const ConnectionSecurity alice = As("client/alice");
  const std::string before =
      ProbeTls(service.server->address(), alice.tls, HostCheck::kNamesTheHost, kProbeTimeout)->server.subject;
  const auto standing = Jobs(service, alice);
  ASSERT_TRUE(Capabilities(*standing).ok());

  PointTo(now, store("new", authority_.IssueToCoordinator()));

  std::string after = before;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (after == before && std::chrono::steady_clock::now() < deadline) {
    const auto handshake = ProbeTls(service.server->address(), alice.tls, HostCheck::kNamesTheHost, kProbeTimeout);
    if (handshake.ok()) after = handshake->server.subject;
    std::this_thread::yield();
  }
  EXPECT_NE(after, before);
  EXPECT_TRUE(Capabilities(*standing).ok());
  EXPECT_TRUE(Capabilities(service, alice).ok());
}

TEST(GrpcServerOptions, PlainTextStaysOnTheMachineUnlessSomebodyVouches) {
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:1", "localhost:7070", "[::1]:7070", "unix:/run/gptvq"}) {
    EXPECT_TRUE((GrpcServerOptions{.address = address}).Validate().ok()) << address;
  }
  for (const char* address :
       {"0.0.0.0:7070", "[::]:7070", "10.0.0.7:7070", "example.org:7070", "127.0.0.1.example.org:1"}) {
    const absl::Status status = (GrpcServerOptions{.address = address}).Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_NE(status.message().find("--insecure"), std::string::npos);
    EXPECT_TRUE((GrpcServerOptions{.address = address, .plain_text = PlainText::kAnywhere}).Validate().ok());
    EXPECT_TRUE((GrpcServerOptions{.address = address, .tls = {"c", "k", "a"}}).Validate().ok());
  }
}

}  // namespace
}  // namespace gptvq
