#include "server/grpc_server.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "gptvq/v1/job_service.grpc.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "platform/option_values.h"
#include "platform/rpc/channel.h"
#include "platform/rpc/credentials.h"
#include "server/connection_gate.h"
#include "server/grpc_access.h"

namespace gptvq {
namespace {

// Linking gRPC's reflection library is enough to switch it on for every server; this switches it off again for one.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

constexpr std::array kServices = {"gptvq.v1.JobService", "gptvq.v1.WorkerService"};

void ShowServices(grpc::Server& server, bool serving) {
  for (const char* service : kServices) server.GetHealthCheckService()->SetServingStatus(service, serving);
}

// What connections and messages may take together; beyond it new connections are refused. Eight uploads and a hundred
// watchers need a tenth of it.
constexpr std::size_t kMaxMemoryBytes = 512 << 20;

}  // namespace

absl::Status GrpcServerOptions::Validate() const {
  GPTVQ_RETURN_IF_ERROR(tls.Validate());
  if (!tls.empty() || plain_text == PlainText::kAnywhere || IsLocalRpcAddress(address)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--listen ", address,
      ": other machines can reach this address, and without TLS they could do everything; give --tls-cert, "
      "--tls-key and --tls-ca (docs/security.md), or listen on 127.0.0.1 or unix:PATH, or vouch for the "
      "network with --insecure on"));
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              const std::vector<grpc::Service*>& services,
                                                              const CallGuard& guard, Logger& log) {
  GPTVQ_RETURN_IF_ERROR(options.Validate());
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  ConfigureServer(builder);
  switch (options.reflection) {
    case Reflection::kOn: grpc::reflection::InitProtoReflectionServerBuilderPlugin(); break;
    case Reflection::kOff: builder.SetOption(std::make_unique<WithoutReflection>()); break;
  }
  grpc::ResourceQuota quota("coordinator");
  quota.SetMaxThreads(options.max_threads);
  quota.Resize(kMaxMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, static_cast<int>(options.handshake_timeout.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, static_cast<int>(options.idle_timeout.count()));
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!options.tls.empty()) {
    credentials = MakeServerCredentials(options.tls);
    credentials->SetAuthMetadataProcessor(MakeAuthProcessor(guard));
  }
  using Experimental = grpc::ServerBuilder::experimental_type;
  std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(Experimental::ExternalConnectionType::FROM_FD, credentials);
  for (grpc::Service* service : services) builder.RegisterService(service);
  // gRPC does not start a server with its own health service alone. Of this one no method is implemented.
  std::unique_ptr<grpc::Service> nothing;
  if (services.empty()) {
    nothing = std::make_unique<v1::JobService::Service>();
    builder.RegisterService(nothing.get());
  }
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ConnectionGate> gate,
                         ConnectionGate::Listen(options.address, options.max_connections, log));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError(absl::StrCat("cannot serve on ", options.address));
  ShowServices(*server, false);
  gate->Open([acceptor](int listener, int socket) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = listener;
    connection.fd = socket;
    acceptor->HandleNewConnection(&connection);
  });
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(nothing), std::move(server), std::move(gate)));
}

GrpcServer::GrpcServer(std::unique_ptr<grpc::Service> nothing, std::unique_ptr<grpc::Server> server,
                       std::unique_ptr<ConnectionGate> gate)
    : nothing_(std::move(nothing)), server_(std::move(server)), gate_(std::move(gate)) {}

const std::string& GrpcServer::address() const { return gate_->address(); }

GrpcServer::~GrpcServer() { Shutdown(std::chrono::milliseconds(0)); }

std::shared_ptr<grpc::Channel> GrpcServer::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

void GrpcServer::ShowServing() { ShowServices(*server_, true); }

void GrpcServer::ShowNotServing() { ShowServices(*server_, false); }

void GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  gate_->Close();
  server_->GetHealthCheckService()->SetServingStatus(false);
  server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(grace.count(), GPR_TIMESPAN)));
  server_->Wait();
}

}  // namespace gptvq
