#ifndef GPTVQ_PLATFORM_TLS_CERTIFICATE_H_
#define GPTVQ_PLATFORM_TLS_CERTIFICATE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"

struct X509_crl_st;
struct x509_st;

namespace gptvq {

// What this project wants to know of an X.509 certificate. Plain value.
struct Certificate {
  std::string subject;
  std::string issuer;
  std::string serial;  // hexadecimal digits; unique among those of the issuer
  WallTime not_before;
  WallTime not_after;
  std::vector<std::string> uris;   // of the subject alternative names
  std::vector<std::string> hosts;  // DNS names and IP addresses of the same, as text

  // Errors: InvalidArgument when `now` is outside of its time, naming the time.
  absl::Status CheckTime(WallTime now) const;
};

// "2026-05-04T10:00:00Z".
std::string UtcText(WallTime time);

// From OpenSSL's form, which is borrowed.
Certificate DescribeCertificate(const x509_st* certificate);

// From one PEM block, as gRPC hands over the one of the other side. Errors: InvalidArgument.
absl::StatusOr<Certificate> ParseCertificate(std::string_view pem);

// What this project wants to know of a revocation list. Plain value.
struct RevocationListView {
  std::string issuer;
  std::vector<std::string> serials;  // of the certificates that no longer count
  std::optional<WallTime> next_update;
};

// From OpenSSL's form, which is borrowed.
RevocationListView DescribeRevocationList(X509_crl_st* list);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_CERTIFICATE_H_
