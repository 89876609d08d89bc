// Both services over real TLS, with certificates of the openssl program: who gets in, and on which terms.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "platform/option_values.h"
#include "platform/rpc/channel.h"
#include "platform/tls/tls_probe.h"
#include "tests/server/tls_service_fixture.h"

namespace gptvq {
namespace {

constexpr std::chrono::milliseconds kProbeTimeout(20'000);

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
  std::vector<nlohmann::json> lines;
  for (const std::string& line : AuditLines()) lines.push_back(nlohmann::json::parse(line));
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
  const auto channel = MakeChannel(service.server->address(), As("client/alice"));
  const auto standing = v1::JobService::NewStub(channel);
  ASSERT_TRUE(Capabilities(*standing).ok());

  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  // A call on a connection whose close is under way may fail: the caller has to have seen it, too.
  const auto is_connected = [&] { return channel->GetState(false) == GRPC_CHANNEL_READY || ConnectionsAt(port) > 0; };
  while (is_connected() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(is_connected());
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

  for (const std::string& line : AuditLines()) EXPECT_EQ(line.find("sesam"), std::string::npos) << line;
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
