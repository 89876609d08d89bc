#ifndef GPTVQ_SERVER_COORDINATOR_DAEMON_H_
#define GPTVQ_SERVER_COORDINATOR_DAEMON_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "server/grpc_server.h"
#include "server/input_probe.h"

namespace gptvq {

class S3Connector;

struct CoordinatorDaemonOptions {
  std::string data_directory;      // journal and lock; made if it is missing; not used with journal_uri
  std::string journal_uri;         // empty: SQLite in the data directory; postgresql://...: a database that is shared
  std::string artifact_store_uri;  // empty: file://<data_directory>/store; required with journal_uri
  GrpcServerOptions server;
  std::string health_address;      // "host:port" that serves nothing but health, in plain text; empty: none
  std::string revocations_file;    // over TLS, lists of revoked certificates (platform/tls/revocations.h); empty: none
  std::string client_tokens_file;  // over TLS, tokens that clients must show (server/client_tokens.h); empty: none
  std::string audit_log_file;      // empty: none is written
  std::chrono::milliseconds lease_ttl{30'000};     // 100 ms to 1 h
  std::chrono::milliseconds stall_after{600'000};  // 1 s to 1 day
  // When artifacts that nobody needs are deleted (GarbageOptions, docs/storage.md): 0 to 10 years each.
  std::chrono::milliseconds artifact_grace{86'400'000};
  std::chrono::milliseconds boundary_grace{600'000};
  bool prune_unknown = false;  // whether artifacts that no job names are deleted, a week after they are found
  std::chrono::milliseconds quarantine{600'000};  // the first of a worker; 1 s to 1 day
  double audit_fraction = 0;                      // of the shards that another worker computes a second time, 0 to 1
  // Told when the disk of an SQLite journal failed to keep something, by the thread that met it, before anybody is answered. It
  // should end the process; empty: every change is refused from then on.
  std::function<void(const absl::Status&)> on_sync_failure = {};
  const S3Connector* s3 = nullptr;  // for an s3:// artifact store; borrowed; null: there can be none

  // Errors: InvalidArgument naming the field.
  absl::Status Validate() const;
};

// A whole coordinator inside a process: journal, artifact store, scheduler, access control, services, server. What
// gptvq-coordinator runs, and `gptvq-client quantize` beside a worker. Owns all of it; borrows clock, probe, metrics registry
// and log. Thread-safe.
class CoordinatorDaemon {
 public:
  // Takes over where the journal stands; while another coordinator leads on a shared journal, it stands by: health checks
  // answer NOT_SERVING, and calls NOT_LEADING, until it takes over. Health checks are answered while the journal is read.
  // Errors: InvalidArgument (options, certificates, tokens); FailedPrecondition (the data directory is in use, or the journal of
  // a newer version); those of JobStore, Storage and GrpcServer.
  static absl::StatusOr<std::unique_ptr<CoordinatorDaemon>> Start(const CoordinatorDaemonOptions& options,
                                                                  InputProbe& probe, Clock& clock,
                                                                  MetricsRegistry& registry, Logger& log);
  // As Stop without grace, if Stop was not called.
  ~CoordinatorDaemon();

  const std::string& address() const;
  const std::string& artifact_store_uri() const;
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Shows NOT_SERVING, refuses new work, lets calls that commit end for at most `grace`.
  void Stop(std::chrono::milliseconds grace);

 private:
  struct Parts;
  explicit CoordinatorDaemon(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_COORDINATOR_DAEMON_H_
