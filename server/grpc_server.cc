#include "server/grpc_server.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "platform/rpc/channel.h"

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

// "host:0" with the port that was picked.
std::string ListeningAddress(const std::string& address, int port) {
  if (absl::StartsWith(address, "unix:")) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              const std::vector<grpc::Service*>& services) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  ConfigureServer(builder);
  switch (options.reflection) {
    case Reflection::kOn: grpc::reflection::InitProtoReflectionServerBuilderPlugin(); break;
    case Reflection::kOff: builder.SetOption(std::make_unique<WithoutReflection>()); break;
  }
  grpc::ResourceQuota quota("coordinator");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  int port = 0;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address));
  ShowServices(*server, false);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(server), ListeningAddress(options.address, port)));
}

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server, std::string address)
    : server_(std::move(server)), address_(std::move(address)) {}

GrpcServer::~GrpcServer() { Shutdown(std::chrono::milliseconds(0)); }

std::shared_ptr<grpc::Channel> GrpcServer::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

void GrpcServer::ShowServing() { ShowServices(*server_, true); }

void GrpcServer::ShowNotServing() { ShowServices(*server_, false); }

void GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  server_->GetHealthCheckService()->SetServingStatus(false);
  server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(grace.count(), GPR_TIMESPAN)));
  server_->Wait();
}

}  // namespace gptvq
