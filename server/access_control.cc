#include "server/access_control.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/method_table.h"

namespace gptvq {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr std::string_view kHealthService = "/grpc.health.v1.Health/";
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::size_t kMaxEchoedBytes = 128;

std::string Escaped(std::string_view text) {
  return absl::Utf8SafeCHexEscape(absl::string_view(text.data(), text.size()).substr(0, kMaxEchoedBytes));
}

}  // namespace

absl::StatusOr<Caller> AccessControl::CallerOf(const Certificate& certificate, WallTime now) const {
  if (is_open()) return Caller{};
  absl::StatusOr<Identity> identity = IdentityOf(certificate.uris);
  if (!identity.ok()) {
    const absl::string_view message = identity.status().message();
    return Refuse(ErrorReason::kAccessDenied, std::string_view(message.data(), message.size()));
  }
  if (identity->trust_domain != *trust_domain_) {
    return Refuse(ErrorReason::kAccessDenied, absl::StrCat("the certificate is of the trust domain ",
                                                           identity->trust_domain, ", the coordinator of another"));
  }
  if (const absl::Status status = certificate.CheckTime(now); !status.ok()) {
    return Refuse(ErrorReason::kCertificateRefused,
                  absl::StrCat("the certificate of ", identity->ToString(), ": ", status.message()));
  }
  if (revocations_ != nullptr && revocations_->IsRevoked(certificate)) {
    return Refuse(ErrorReason::kCertificateRefused,
                  absl::StrCat("the certificate of ", identity->ToString(), ", serial number ", certificate.serial,
                               ", was revoked by its authority"));
  }
  return Caller{*std::move(identity)};
}

absl::Status AccessControl::CheckMethod(const Caller& caller, std::string_view path_or_method) const {
  if (is_open()) return absl::OkStatus();
  const MethodRule* rule = FindMethodRule(path_or_method);
  if (rule != nullptr && caller.identity && MayCall(caller.identity->role, rule->callers)) return absl::OkStatus();
  return Refuse(ErrorReason::kAccessDenied, absl::StrCat(caller.owner(), " may not call ", Escaped(path_or_method)));
}

absl::Status AccessControl::CheckToken(const Caller& caller, std::string_view path,
                                       std::string_view authorization) const {
  if (tokens_ == nullptr || !caller.identity || caller.identity->role == Role::kWorker ||
      path.starts_with(kHealthService)) {
    return absl::OkStatus();
  }
  if (!authorization.starts_with(kScheme)) {
    return Refuse(ErrorReason::kTokenRefused, "the coordinator wants a bearer token; name its file with --token-file");
  }
  const std::string_view token = authorization.substr(kScheme.size());
  if (token.size() <= kMaxTokenBytes && tokens_->IsValid(caller.owner(), token)) return absl::OkStatus();
  return Refuse(ErrorReason::kTokenRefused,
                absl::StrCat("the bearer token is none of ", caller.owner(), ", or has ended"));
}

}  // namespace gptvq
