#include "platform/identity.h"

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::array kRoles = {Role::kClient, Role::kWorker, Role::kAdmin, Role::kObserver, Role::kCoordinator};
constexpr std::size_t kMaxDomainBytes = 255;
constexpr std::size_t kMaxNameBytes = 128;
constexpr std::size_t kMaxEchoedBytes = 200;

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlphanumeric(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z'); }
bool IsMark(char c) { return c == '.' || c == '_' || c == '-'; }

bool IsTrustDomain(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxDomainBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsLowerOrDigit(c) || IsMark(c); });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && IsAlphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsAlphanumeric(c) || IsMark(c); });
}

absl::Status NoIdentity(std::string_view uri) {
  return absl::InvalidArgumentError(
      absl::StrCat("the certificate's URI '",
                   absl::Utf8SafeCHexEscape(absl::string_view(uri.data(), uri.size()).substr(0, kMaxEchoedBytes)),
                   "' is no identity: it must be spiffe://DOMAIN/gptvq/ROLE/NAME with the role client, worker, admin, "
                   "observer or coordinator"));
}

}  // namespace

std::string_view Name(Role role) {
  switch (role) {
    case Role::kClient: return "client";
    case Role::kWorker: return "worker";
    case Role::kAdmin: return "admin";
    case Role::kObserver: return "observer";
    case Role::kCoordinator: return "coordinator";
  }
  return "";
}

std::string Identity::ToString() const { return absl::StrCat(std::string(Name(role)), "/", name); }

absl::StatusOr<Identity> ParseIdentity(std::string_view uri) {
  const std::vector<std::string> parts = absl::StrSplit(absl::string_view(uri.data(), uri.size()), '/');
  // spiffe: "" DOMAIN gptvq ROLE NAME
  if (parts.size() != 6 || parts[0] != "spiffe:" || !parts[1].empty() || parts[3] != "gptvq") return NoIdentity(uri);
  const auto role = std::find_if(kRoles.begin(), kRoles.end(), [&](Role one) { return Name(one) == parts[4]; });
  if (role == kRoles.end() || !IsTrustDomain(parts[2]) || !IsName(parts[5])) return NoIdentity(uri);
  return Identity{parts[2], *role, parts[5]};
}

absl::StatusOr<Identity> IdentityOf(const std::vector<std::string>& uris) {
  if (uris.size() == 1) return ParseIdentity(uris[0]);
  return absl::InvalidArgumentError(
      absl::StrCat("the certificate has ", uris.size(),
                   " URIs among its subject alternative names; it needs exactly one, spiffe://DOMAIN/gptvq/ROLE/NAME"));
}

absl::Status CheckIsCoordinator(const std::vector<std::string>& uris) {
  GPTVQ_ASSIGN_OR_RETURN(const Identity identity, IdentityOf(uris));
  if (identity.role == Role::kCoordinator) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the certificate is that of ", identity.ToString(),
                                                 ", which may not serve; a coordinator's is needed"));
}

}  // namespace gptvq
