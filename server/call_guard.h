#ifndef GPTVQ_SERVER_CALL_GUARD_H_
#define GPTVQ_SERVER_CALL_GUARD_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/tls/certificate.h"
#include "server/access_control.h"
#include "server/audit_log.h"

namespace gptvq {

// What the connection of a call tells about the other side.
struct Peer {
  Certificate certificate;  // empty without TLS
  std::string address;
};

// One call of a service, as its handler sees it.
struct Call {
  Caller caller;
  Peer peer;
  // What the handler fills in for the audit log.
  std::string job_id;
  bool was_denied = false;       // whatever code the caller is shown
  bool changed_nothing = false;  // a dry run, a poll without a task
  std::string incident = {};     // that the call showed, although it was allowed: NONDETERMINISM
};

// The door of the services: lets callers in or not, and writes down what they changed and what they were denied. Borrows
// everything; without an audit log nothing is written. Thread-safe.
class CallGuard {
 public:
  CallGuard(const AccessControl& access, AuditLog* audit_log, Clock& clock, Logger& log)
      : access_(access), audit_log_(audit_log), clock_(clock), log_(log) {}

  // Before a call reaches its service, whatever its method: certificate, method and token. Writes denials down.
  // Errors: those of AccessControl.
  absl::Status Admit(const Peer& peer, std::string_view path, std::string_view authorization) const;

  // In the service, where the token is not looked at again.
  absl::StatusOr<Call> Begin(const Peer& peer, std::string_view method) const;

  // Whether the certificate still lets the caller in: for calls that last. Errors: those of AccessControl::CallerOf.
  absl::Status CheckStillAdmitted(const Call& call) const;

  // After the call, with the status that the caller is shown.
  void End(std::string_view method, const Call& call, const absl::Status& status) const;

 private:
  void Write(AuditEntry entry, const absl::Status& status) const;

  const AccessControl& access_;
  AuditLog* const audit_log_;
  Clock& clock_;
  Logger& log_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CALL_GUARD_H_
