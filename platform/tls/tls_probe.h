#ifndef GPTVQ_PLATFORM_TLS_TLS_PROBE_H_
#define GPTVQ_PLATFORM_TLS_TLS_PROBE_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "platform/tls/certificate.h"
#include "platform/tls/connection_security.h"
#include "platform/tls/tls_files.h"

namespace gptvq {

// One connection each, made and ended at once, to find out in words why a real one would fail: gRPC only says that nobody
// answered. `address` is one, as ParseRpcAddress gives it; `timeout` bounds connecting and every step after it.

// Whether anybody listens. Errors: NotFound (the name does not resolve), Unavailable (refused, or no answer in time).
absl::Status ProbeAddress(const std::string& address, std::chrono::milliseconds timeout);

enum class Wire { kPlain, kTls };

// What is spoken there, told from the answer to a TLS greeting. Errors: those of ProbeAddress.
absl::StatusOr<Wire> ProbeWire(const std::string& address, std::chrono::milliseconds timeout);

struct TlsHandshake {
  std::string version;  // "TLSv1.3"
  Certificate server;
};

// Shakes hands as a client with `files` does, and waits for the first byte, with which the server accepts our certificate.
// Errors: those of ProbeAddress; FailedPrecondition when the server does not speak TLS, or one side does not accept the
// other's certificate, and why.
absl::StatusOr<TlsHandshake> ProbeTls(const std::string& address, const TlsFiles& files, HostCheck host_check,
                                      std::chrono::milliseconds timeout);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_TLS_PROBE_H_
