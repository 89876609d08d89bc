#include "platform/tls/certificate.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace gptvq {
namespace {

std::string NameText(X509_NAME* name) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

WallTime TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  ASN1_TIME_to_tm(time, &parts);
  return absl::ToChronoTime(absl::FromTM(parts, absl::UTCTimeZone()));
}

std::string SerialText(const ASN1_INTEGER* serial) {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(ASN1_INTEGER_to_BN(serial, nullptr), &BN_free);
  char* digits = BN_bn2hex(number.get());
  std::string text = digits;
  OPENSSL_free(digits);
  return text;
}

std::string TextOf(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "";
  return inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size()) == nullptr ? "" : text.data();
}

}  // namespace

std::string UtcText(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

absl::Status Certificate::CheckTime(WallTime now) const {
  if (now < not_before) {
    return absl::InvalidArgumentError(absl::StrCat("not valid before ", UtcText(not_before), ", and it is ",
                                                   UtcText(now), "; is the clock of this machine right?"));
  }
  if (now > not_after) {
    return absl::InvalidArgumentError(
        absl::StrCat("expired at ", UtcText(not_after), ", and it is ", UtcText(now), "; issue a new one"));
  }
  return absl::OkStatus();
}

Certificate DescribeCertificate(const x509_st* certificate) {
  Certificate described;
  described.subject = NameText(X509_get_subject_name(certificate));
  described.issuer = NameText(X509_get_issuer_name(certificate));
  described.serial = SerialText(X509_get0_serialNumber(certificate));
  described.not_before = TimeOf(X509_get0_notBefore(certificate));
  described.not_after = TimeOf(X509_get0_notAfter(certificate));
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {  // -1 for null
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    switch (name->type) {
      case GEN_URI: described.uris.push_back(TextOf(name->d.uniformResourceIdentifier)); break;
      case GEN_DNS: described.hosts.push_back(TextOf(name->d.dNSName)); break;
      case GEN_IPADD: described.hosts.push_back(AddressText(name->d.iPAddress)); break;
      default: break;
    }
  }
  return described;
}

absl::StatusOr<Certificate> ParseCertificate(std::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                      &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr),
                                                                &X509_free);
  ERR_clear_error();
  if (certificate == nullptr) return absl::InvalidArgumentError("not a PEM certificate");
  return DescribeCertificate(certificate.get());
}

RevocationListView DescribeRevocationList(X509_crl_st* list) {
  RevocationListView view;
  view.issuer = NameText(X509_CRL_get_issuer(list));
  const STACK_OF(X509_REVOKED)* revoked = X509_CRL_get_REVOKED(list);
  for (int i = 0; i < sk_X509_REVOKED_num(revoked); ++i) {  // -1 for null
    view.serials.push_back(SerialText(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(revoked, i))));
  }
  if (const ASN1_TIME* next = X509_CRL_get0_nextUpdate(list)) view.next_update = TimeOf(next);
  return view;
}

}  // namespace gptvq
