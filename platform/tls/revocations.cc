#include "platform/tls/revocations.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/file_version.h"
#include "platform/tls/pem.h"

namespace gptvq {
namespace {

std::string KeyOf(const std::string& issuer, const std::string& serial) { return absl::StrCat(serial, " ", issuer); }

bool IsSignedByOneOf(const std::vector<X509Pointer>& authority, X509_CRL* list) {
  const bool is_signed = std::any_of(authority.begin(), authority.end(), [&](const X509Pointer& one) {
    return X509_NAME_cmp(X509_get_subject_name(one.get()), X509_CRL_get_issuer(list)) == 0 &&
           X509_CRL_verify(list, X509_get0_pubkey(one.get())) == 1;
  });
  ERR_clear_error();
  return is_signed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Revocations>> Revocations::Load(const std::string& lists_file,
                                                               const std::string& authority_file, Clock& clock,
                                                               Logger& log) {
  std::unique_ptr<Revocations> revocations(new Revocations(lists_file, authority_file, clock, log));
  const std::lock_guard lock(revocations->mutex_);
  revocations->version_ = FileVersion(lists_file);
  GPTVQ_RETURN_IF_ERROR(revocations->Reload());
  return revocations;
}

bool Revocations::IsRevoked(const Certificate& certificate) {
  const std::lock_guard lock(mutex_);
  ReloadIfChanged();
  return revoked_.contains(KeyOf(certificate.issuer, certificate.serial));
}

absl::Status Revocations::Reload() {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<X509CrlPointer> lists, ReadRevocationLists(lists_file_));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<X509Pointer> authority, ReadCertificates(authority_file_));
  std::set<std::string> revoked;
  for (const X509CrlPointer& list : lists) {
    const RevocationListView view = DescribeRevocationList(list.get());
    if (!IsSignedByOneOf(authority, list.get())) {
      return absl::InvalidArgumentError(absl::StrCat(lists_file_, ": the revocation list of ", view.issuer,
                                                     " is signed by no certificate of ", authority_file_));
    }
    for (const std::string& serial : view.serials) revoked.insert(KeyOf(view.issuer, serial));
    if (view.next_update && *view.next_update < clock_.WallNow()) {
      log_.Warning("the next revocation list is overdue; this one still counts",
                   {{"file", lists_file_}, {"next_update", UtcText(*view.next_update)}});
    }
  }
  revoked_ = std::move(revoked);
  return absl::OkStatus();
}

void Revocations::ReloadIfChanged() {
  std::string version = FileVersion(lists_file_);
  if (version == version_) return;
  version_ = std::move(version);
  const absl::Status status = Reload();
  if (status.ok()) {
    log_.Info("revocation lists read anew", {{"file", lists_file_}, {"revoked", revoked_.size()}});
  } else {
    log_.Error("revocation lists not read anew; the ones before still hold", {{"error", status.ToString()}});
  }
}

}  // namespace gptvq
