#include "platform/tls/tls_files.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/tls/pem.h"

namespace gptvq {

absl::Status TlsFiles::Validate() const {
  if (empty()) return absl::OkStatus();
  for (const auto& [flag, value] :
       {std::pair("--tls-cert", &certificate), std::pair("--tls-key", &key), std::pair("--tls-ca", &authority)}) {
    if (!value->empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert, --tls-key and --tls-ca belong together; ", flag, " is missing"));
  }
  return absl::OkStatus();
}

void AddTlsFlags(Command& command, TlsFiles* files) {
  const auto add = [&command](const char* name, const char* help, std::string* target) {
    command.AddParsed({.name = name, .help = help, .value = "FILE"}, "", [target](std::string_view text) {
      if (text.empty()) return absl::InvalidArgumentError("must name a PEM file");
      *target = std::string(text);
      return absl::OkStatus();
    });
  };
  add("--tls-cert", "This side's certificate, PEM; with --tls-key and --tls-ca it switches mutual TLS on.",
      &files->certificate);
  add("--tls-key", "The key of --tls-cert, PEM, not encrypted.", &files->key);
  add("--tls-ca", "Certificates of the authority that issued the other side's, PEM.", &files->authority);
}

absl::StatusOr<TlsIdentity> CheckTlsFiles(const TlsFiles& files, WallTime now) {
  const absl::StatusOr<std::vector<X509Pointer>> chain = ReadCertificates(files.certificate);
  GPTVQ_RETURN_IF_ERROR(WithContext(chain.status(), "--tls-cert"));
  const absl::StatusOr<KeyPointer> key = ReadPrivateKey(files.key);
  GPTVQ_RETURN_IF_ERROR(WithContext(key.status(), "--tls-key"));
  GPTVQ_RETURN_IF_ERROR(WithContext(ReadCertificates(files.authority).status(), "--tls-ca"));

  const bool key_fits = X509_check_private_key((*chain)[0].get(), key->get()) == 1;
  ERR_clear_error();
  if (!key_fits) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-key: ", files.key, " is not the key of the certificate ", files.certificate));
  }
  TlsIdentity result;
  result.certificate = DescribeCertificate((*chain)[0].get());
  const std::string context = absl::StrCat("--tls-cert: ", files.certificate);
  GPTVQ_RETURN_IF_ERROR(WithContext(result.certificate.CheckTime(now), context));
  absl::StatusOr<Identity> identity = IdentityOf(result.certificate.uris);
  GPTVQ_RETURN_IF_ERROR(WithContext(identity.status(), context));
  result.identity = *std::move(identity);
  return result;
}

}  // namespace gptvq
