#include "platform/tls/certificate_watch.h"

#include <chrono>
#include <utility>

namespace gptvq {
namespace {

constexpr std::chrono::seconds kPeriod(60);

}  // namespace

Gauge& AddCertificateExpiry(MetricsRegistry& registry) {
  return registry.AddGauge(
      "certificate_expiry_seconds",
      "When the certificate ends, in seconds since 1970; 0 while the files can not be used. Only with TLS.");
}

CertificateWatch::CertificateWatch(TlsFiles files, Clock& clock, MetricsRegistry& registry, Logger& log)
    : files_(std::move(files)), clock_(clock), log_(log), expiry_(AddCertificateExpiry(registry)) {
  Look();
  thread_ = std::jthread([this](std::stop_token stop) {
    for (clock_.Sleep(kPeriod, stop); !stop.stop_requested(); clock_.Sleep(kPeriod, stop)) Look();
  });
}

void CertificateWatch::Look() {
  const WallTime now = clock_.WallNow();
  const absl::StatusOr<TlsIdentity> own = CheckTlsFiles(files_, now);
  std::string told = own.ok() ? UtcText(own->certificate.not_after) : own.status().ToString();
  if (own.ok()) {
    const Certificate& certificate = own->certificate;
    expiry_.Set(std::chrono::duration<double>(certificate.not_after.time_since_epoch()).count());
    const bool ends_soon = certificate.not_after - now < (certificate.not_after - certificate.not_before) / 5;
    if (ends_soon) told += " soon";
    if (told == last_told_) return;
    if (ends_soon) {
      log_.Warning("the certificate ends soon; renew it", {{"end", UtcText(certificate.not_after)}});
    } else {
      log_.Info("certificate", {{"identity", own->identity.ToString()}, {"end", UtcText(certificate.not_after)}});
    }
  } else {
    expiry_.Set(0);
    if (told == last_told_) return;
    log_.Error("the certificate files can not be used; new connections fail until they can", {{"error", told}});
  }
  last_told_ = std::move(told);
}

}  // namespace gptvq
