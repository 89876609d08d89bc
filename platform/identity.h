#ifndef GPTVQ_PLATFORM_IDENTITY_H_
#define GPTVQ_PLATFORM_IDENTITY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace gptvq {

// What a certificate lets its holder be (docs/security.md).
enum class Role {
  kClient,       // submits jobs, and sees and cancels its own
  kWorker,       // leases tasks under its own name
  kAdmin,        // a client that sees and cancels every job
  kObserver,     // sees every job and changes nothing
  kCoordinator,  // serves; calls nobody
};

std::string_view Name(Role role);  // client, worker, admin, observer, coordinator

// Who a certificate says its holder is, by its one URI among the subject alternative names:
//   spiffe://<trust domain>/gptvq/<role>/<name>
// The common name plays no part. Plain value.
struct Identity {
  std::string trust_domain;  // [a-z0-9._-]{1,255}
  Role role = Role::kClient;
  std::string name;  // [A-Za-z0-9][A-Za-z0-9._-]{0,127}

  std::string ToString() const;  // "client/alice": how logs, the audit log and the journal name it

  friend bool operator==(const Identity&, const Identity&) = default;
};

// Errors: InvalidArgument, saying what an identity looks like.
absl::StatusOr<Identity> ParseIdentity(std::string_view uri);

// The identity among the URIs of a certificate. Errors: InvalidArgument when there is not exactly one URI: a second one
// would leave open which counts.
absl::StatusOr<Identity> IdentityOf(const std::vector<std::string>& uris);

// Whether URIs are those of a coordinator's certificate. Errors: InvalidArgument, saying whose it is.
absl::Status CheckIsCoordinator(const std::vector<std::string>& uris);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_IDENTITY_H_
