#include "platform/tls/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/secret_file.h"

namespace gptvq {
namespace {

constexpr off_t kMaxPemBytes = 1 << 20;

// Reads objects of one kind to the end of a file. `what` names the kind for people.
template <typename Pointer, typename Read>
absl::StatusOr<std::vector<Pointer>> ReadAll(const std::string& path, std::string_view what, const Read& read) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string pem, ReadPem(path));
  const BioPointer bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Pointer> all;
  while (Pointer one{read(bio.get(), nullptr, nullptr, nullptr)}) all.push_back(std::move(one));
  // The normal end is "no start line"; anything else is a damaged object.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!all.empty() && at_end) return all;
  return absl::InvalidArgumentError(absl::StrCat(path, ": holds no PEM ", std::string(what), ", or a damaged one"));
}

}  // namespace

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    const std::string message = absl::StrCat(path, ": ", std::strerror(errno));
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(message);
    return absl::PermissionDeniedError(message);
  }
  if (!S_ISREG(info.st_mode) || info.st_size > kMaxPemBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file of at most 1 MiB"));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  if (!file || !(contents << file.rdbuf())) return absl::PermissionDeniedError(absl::StrCat(path, ": can not be read"));
  return contents.str();
}

absl::StatusOr<std::vector<X509Pointer>> ReadCertificates(const std::string& path) {
  return ReadAll<X509Pointer>(path, "certificate", PEM_read_bio_X509);
}

absl::StatusOr<std::vector<X509CrlPointer>> ReadRevocationLists(const std::string& path) {
  return ReadAll<X509CrlPointer>(path, "revocation list", PEM_read_bio_X509_CRL);
}

absl::StatusOr<KeyPointer> ReadPrivateKey(const std::string& path) {
  GPTVQ_ASSIGN_OR_RETURN(const Secret pem, ReadSecretFile(path));
  const BioPointer bio(BIO_new_mem_buf(pem.Reveal().data(), static_cast<int>(pem.Reveal().size())));
  const auto no_password = [](char*, int, int, void*) { return -1; };  // a daemon has nobody to ask
  KeyPointer key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(absl::StrCat(path, ": holds no PEM private key, or an encrypted one"));
}

}  // namespace gptvq
