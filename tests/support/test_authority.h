#ifndef GPTVQ_TESTS_SUPPORT_TEST_AUTHORITY_H_
#define GPTVQ_TESTS_SUPPORT_TEST_AUTHORITY_H_

#include <string>

#include "platform/tls/tls_files.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {

struct CertificateRequest {
  std::string names;  // subject alternative names as openssl spells them: "URI:spiffe://...,DNS:localhost"
  std::string usage = "clientAuth,serverAuth";
  int days = 30;  // negative: expired
};

// A certificate authority: the real openssl program in a directory of its own. Fails the test when openssl does.
class TestAuthority {
 public:
  TestAuthority();

  // New certificate and key; --tls-ca is this authority.
  TlsFiles Issue(const CertificateRequest& request);
  TlsFiles IssueTo(const std::string& role_and_name) {
    return Issue({.names = "URI:spiffe://example.org/gptvq/" + role_and_name});
  }
  TlsFiles IssueToCoordinator() {
    return Issue({.names = "URI:spiffe://example.org/gptvq/coordinator/main,DNS:localhost,IP:127.0.0.1"});
  }

  // The file of the revocation list, which holds all that were revoked so far.
  std::string Revoke(const TlsFiles& files);

  const std::string& authority_file() const { return authority_file_; }
  std::string Join(std::string_view name) const { return directory_.Join(name); }

 private:
  void Run(const std::string& command);

  const TemporaryDirectory directory_;
  std::string authority_file_;
  int issued_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_TEST_AUTHORITY_H_
