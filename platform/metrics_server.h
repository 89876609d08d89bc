#ifndef GPTVQ_PLATFORM_METRICS_SERVER_H_
#define GPTVQ_PLATFORM_METRICS_SERVER_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "platform/metrics.h"

struct MHD_Daemon;

namespace gptvq {

// Answers GET /metrics over HTTP with what a registry holds at that moment. Owns the listening socket and the one thread
// that serves it; a client that is slow or idle is cut off after ten seconds. Thread-safe.
class MetricsServer {
 public:
  // `host` is an address or a name of this machine; `port` 0 picks a free one. The registry must outlive the server.
  // Errors: Unavailable when the address cannot be bound, naming it.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(std::string_view host, std::uint16_t port,
                                                              const MetricsRegistry& registry);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  MetricsServer(MHD_Daemon* daemon, std::uint16_t port);

  MHD_Daemon* const daemon_;
  const std::uint16_t port_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_METRICS_SERVER_H_
