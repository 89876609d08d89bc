#ifndef GPTVQ_SERVER_GRPC_SERVER_H_
#define GPTVQ_SERVER_GRPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace grpc {
class Channel;
class Server;
class Service;
}  // namespace grpc

namespace gptvq {

enum class Reflection { kOff, kOn };

struct GrpcServerOptions {
  std::string address = "127.0.0.1:0";  // "host:port", port 0 picks a free one; or "unix:/path"
  Reflection reflection = Reflection::kOff;
  // gRPC refuses a call that finds no thread, heartbeats too, instead of letting it wait: enough for one call of every worker
  // that a coordinator takes, besides waiting polls, watchers and uploads. Threads are made when they are needed.
  int max_threads = 1'160;
};

// A running gRPC server with the health service. Owns the server; borrows the services. Thread-safe.
class GrpcServer {
 public:
  // Errors: Unavailable when the address cannot be listened on, naming it.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           const std::vector<grpc::Service*>& services);
  ~GrpcServer();

  // Where it listens, with the port that was picked.
  const std::string& address() const { return address_; }
  // A channel that needs no socket.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // What health checks of the services answer from now on; NOT_SERVING at first. The process as a whole, the empty name, is
  // SERVING until Shutdown(): who does not lead is alive.
  void ShowServing();
  void ShowNotServing();
  // Takes no new calls, lets those in progress end for at most `grace`, then cancels them. Returns when all are gone.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::string address);

  const std::unique_ptr<grpc::Server> server_;
  const std::string address_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_GRPC_SERVER_H_
