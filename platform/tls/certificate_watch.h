#ifndef GPTVQ_PLATFORM_TLS_CERTIFICATE_WATCH_H_
#define GPTVQ_PLATFORM_TLS_CERTIFICATE_WATCH_H_

#include <stop_token>
#include <string>
#include <thread>

#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/tls/tls_files.h"

namespace gptvq {

// gptvq_<binary>_certificate_expiry_seconds.
Gauge& AddCertificateExpiry(MetricsRegistry& registry);

// Looks at the files of a daemon once a minute and tells log and metrics what gRPC, which reads them by itself, would only show
// by failing: files that do not fit each other, and a certificate that ends soon (in the last fifth of its time).
// Borrows clock, registry and log; owns a thread.
class CertificateWatch {
 public:
  CertificateWatch(TlsFiles files, Clock& clock, MetricsRegistry& registry, Logger& log);

 private:
  void Look();

  const TlsFiles files_;
  Clock& clock_;
  Logger& log_;
  Gauge& expiry_;
  std::string last_told_;  // the certificate or the problem, so that each is told once
  std::jthread thread_;    // last: it stops before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_CERTIFICATE_WATCH_H_
