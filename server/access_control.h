#ifndef GPTVQ_SERVER_ACCESS_CONTROL_H_
#define GPTVQ_SERVER_ACCESS_CONTROL_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/identity.h"
#include "platform/tls/certificate.h"
#include "platform/tls/revocations.h"
#include "server/client_tokens.h"

namespace gptvq {

// Who calls. Plain value.
struct Caller {
  // None: the coordinator serves without TLS; whoever can connect may do everything.
  std::optional<Identity> identity;

  // What the jobs it submits belong to: "client/alice"; empty without an identity.
  std::string owner() const { return identity ? identity->ToString() : ""; }
  bool SeesAllJobs() const { return !identity || identity->role == Role::kAdmin || identity->role == Role::kObserver; }
  // Whether it may speak as this worker.
  bool IsWorker(std::string_view worker_name) const { return !identity || identity->name == worker_name; }
};

// Decides who a peer is and which methods it may call (server/method_table.h). Knows nothing of connections and jobs. What
// is not granted is denied. Thread-safe.
class AccessControl {
 public:
  // Without TLS: everybody may call everything that the server has.
  AccessControl() = default;
  // Certificates of `trust_domain` count, those of others and those that were revoked do not. With `tokens`, everybody but
  // workers must show one, too. Both may be null.
  AccessControl(std::string trust_domain, std::unique_ptr<ClientTokens> tokens,
                std::unique_ptr<Revocations> revocations)
      : trust_domain_(std::move(trust_domain)), tokens_(std::move(tokens)), revocations_(std::move(revocations)) {}

  bool is_open() const { return !trust_domain_; }

  // From the certificate that the handshake verified. Its time is looked at again: the connection may be an old one.
  // Errors: Unauthenticated (CERTIFICATE_REFUSED: it expired, is not valid yet, or was revoked); PermissionDenied
  // (ACCESS_DENIED: it gives no role here).
  absl::StatusOr<Caller> CallerOf(const Certificate& certificate, WallTime now) const;

  // Errors: PermissionDenied (ACCESS_DENIED) when the role may not, or the method is not listed.
  absl::Status CheckMethod(const Caller& caller, std::string_view path_or_method) const;

  // `authorization` is the value of the header, empty without one. Health checks need none: probes have none.
  // Errors: Unauthenticated (TOKEN_REFUSED).
  absl::Status CheckToken(const Caller& caller, std::string_view path, std::string_view authorization) const;

 private:
  std::optional<std::string> trust_domain_;
  std::unique_ptr<ClientTokens> tokens_;
  std::unique_ptr<Revocations> revocations_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_ACCESS_CONTROL_H_
