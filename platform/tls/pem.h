#ifndef GPTVQ_PLATFORM_TLS_PEM_H_
#define GPTVQ_PLATFORM_TLS_PEM_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace gptvq {

// PEM files as OpenSSL's objects; inside platform/tls only.

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPointer = std::unique_ptr<BIO, OpenSslFree<BIO_free>>;
using X509Pointer = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using X509CrlPointer = std::unique_ptr<X509_CRL, OpenSslFree<X509_CRL_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;

// Errors: NotFound, PermissionDenied, InvalidArgument (no regular file, or over 1 MiB), naming the path.
absl::StatusOr<std::string> ReadPem(const std::string& path);

// Every certificate of a file, in order, at least one. Errors: those of ReadPem; InvalidArgument.
absl::StatusOr<std::vector<X509Pointer>> ReadCertificates(const std::string& path);

// Every revocation list of a file, at least one. Errors: those of ReadPem; InvalidArgument.
absl::StatusOr<std::vector<X509CrlPointer>> ReadRevocationLists(const std::string& path);

// A key that is not encrypted, from a file that not everybody may read. Errors: those of ReadSecretFile; InvalidArgument.
absl::StatusOr<KeyPointer> ReadPrivateKey(const std::string& path);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_PEM_H_
