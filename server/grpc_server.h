#ifndef GPTVQ_SERVER_GRPC_SERVER_H_
#define GPTVQ_SERVER_GRPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/log.h"
#include "platform/tls/tls_files.h"
#include "server/call_guard.h"

namespace grpc {
class Channel;
class Server;
class Service;
}  // namespace grpc

namespace gptvq {

class ConnectionGate;

enum class Reflection { kOff, kOn };

// Where a server without TLS may listen.
enum class PlainText {
  kLocalOnly,  // on a unix socket or loopback
  kAnywhere,   // the operator vouches for the network
};

struct GrpcServerOptions {
  std::string address = "127.0.0.1:0";  // "host:port", port 0 picks a free one; or "unix:/path"
  TlsFiles tls = {};                    // empty: plain text
  PlainText plain_text = PlainText::kLocalOnly;
  Reflection reflection = Reflection::kOff;
  // Further ones are closed. Never more than the process may open files, less some for itself.
  int max_connections = 4096;
  std::chrono::milliseconds handshake_timeout{10'000};  // for a connection to say what it wants
  std::chrono::milliseconds idle_timeout{25'000};       // without a call; a connection is closed within twice this
  // gRPC refuses a call that finds no thread, heartbeats too, instead of letting it wait: enough for one call of every worker
  // that a coordinator takes, besides waiting polls, watchers and uploads. Threads are made when they are needed.
  int max_threads = 1'160;

  // Errors: InvalidArgument for plain text where others could reach it, and what to do instead.
  absl::Status Validate() const;
};

// A running gRPC server with the health service. A unix socket that it makes is for its own user alone. Owns the server;
// borrows services, log and guard, which it asks about every call over TLS. Thread-safe.
class GrpcServer {
 public:
  // Without services, health is all that it serves. Errors: those of Validate; Unavailable when the address cannot be
  // listened on, naming it.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           const std::vector<grpc::Service*>& services,
                                                           const CallGuard& guard, Logger& log);
  ~GrpcServer();

  // Where it listens, with the port that was picked.
  const std::string& address() const;
  // A channel that needs no socket.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // What health checks of the services answer from now on; NOT_SERVING at first. The process as a whole, the empty name, is
  // SERVING until Shutdown(): who does not lead is alive.
  void ShowServing();
  void ShowNotServing();
  // Takes no new calls, lets those in progress end for at most `grace`, then cancels them. Returns when all are gone.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  GrpcServer(std::unique_ptr<grpc::Service> nothing, std::unique_ptr<grpc::Server> server,
             std::unique_ptr<ConnectionGate> gate);

  const std::unique_ptr<grpc::Service> nothing_;  // what a server for health alone has besides
  const std::unique_ptr<grpc::Server> server_;
  const std::unique_ptr<ConnectionGate> gate_;  // hands connections to the server, so it goes first
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_GRPC_SERVER_H_
