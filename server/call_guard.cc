#include "server/call_guard.h"

#include <utility>

#include "core/base/status_macros.h"
#include "platform/identity.h"
#include "platform/job/error_reason.h"
#include "server/method_table.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxMethodBytes = 128;

bool IsDenial(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status);
}

// Whose certificate was refused; empty for one that names nobody here.
std::string RefusedIdentity(const Peer& peer, const absl::Status& refusal) {
  if (ReasonOf(refusal) != ErrorReason::kCertificateRefused) return "";
  return IdentityOf(peer.certificate.uris)->ToString();
}

}  // namespace

absl::Status CallGuard::Admit(const Peer& peer, std::string_view path, std::string_view authorization) const {
  const absl::StatusOr<Caller> caller = access_.CallerOf(peer.certificate, clock_.WallNow());
  absl::Status status = caller.status();
  if (status.ok()) status = access_.CheckMethod(*caller, path);
  if (status.ok()) status = access_.CheckToken(*caller, path, authorization);
  if (status.ok()) return status;
  AuditEntry entry;
  entry.identity = caller.ok() ? caller->owner() : RefusedIdentity(peer, status);
  entry.peer = peer.address;
  entry.method = std::string(path.substr(0, kMaxMethodBytes));
  entry.decision = AccessDecision::kDenied;
  Write(std::move(entry), status);
  return status;
}

absl::StatusOr<Call> CallGuard::Begin(const Peer& peer, std::string_view method) const {
  Call call;
  call.peer = peer;
  GPTVQ_ASSIGN_OR_RETURN(call.caller, access_.CallerOf(peer.certificate, clock_.WallNow()));
  GPTVQ_RETURN_IF_ERROR(access_.CheckMethod(call.caller, method));
  return call;
}

absl::Status CallGuard::CheckStillAdmitted(const Call& call) const {
  return access_.CallerOf(call.peer.certificate, clock_.WallNow()).status();
}

void CallGuard::End(std::string_view method, const Call& call, const absl::Status& status) const {
  const bool denied = call.was_denied || IsDenial(status);
  const MethodRule* rule = FindMethodRule(method);
  const bool changes = rule != nullptr && rule->effect == Effect::kChanges && !call.changed_nothing;
  if (!denied && !changes) return;
  AuditEntry entry;
  entry.identity = call.caller.owner();
  entry.peer = call.peer.address;
  entry.method = std::string(method);
  entry.job_id = call.job_id;
  entry.decision = denied ? AccessDecision::kDenied : AccessDecision::kAllowed;
  entry.reason = call.incident;
  Write(std::move(entry), status);
}

void CallGuard::Write(AuditEntry entry, const absl::Status& status) const {
  if (entry.decision == AccessDecision::kDenied) {
    log_.Warning("call denied", {{"identity", entry.identity},
                                 {"peer", entry.peer},
                                 {"method", entry.method},
                                 {"job", entry.job_id},
                                 {"why", status.ToString()}});
  }
  if (entry.decision == AccessDecision::kAllowed && !entry.reason.empty()) {
    log_.Warning("incident", {{"what", entry.reason}, {"identity", entry.identity}, {"job", entry.job_id}});
  }
  if (audit_log_ == nullptr) return;
  entry.time = clock_.WallNow();
  entry.code = absl::StatusCodeToString(status.code());
  if (const auto reason = ReasonOf(status)) entry.reason = std::string(Name(*reason));
  const absl::Status written = audit_log_->Append(entry);
  if (!written.ok()) log_.Error("audit log not written", {{"error", written.ToString()}, {"line", ToJsonLine(entry)}});
}

}  // namespace gptvq
