#include "tests/support/test_authority.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace gptvq {
namespace {

constexpr char kNewKey[] = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";

}  // namespace

TestAuthority::TestAuthority() : authority_file_(directory_.Join("ca.pem")) {
  Run("openssl req -x509" + std::string(kNewKey) +
      "-days 30 -subj '/CN=test authority' -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem");
}

TlsFiles TestAuthority::Issue(const CertificateRequest& request) {
  const std::string stem = "issued-" + std::to_string(++issued_);
  directory_.WriteFile(stem + ".ext", "extendedKeyUsage=" + request.usage + "\n" +
                                          (request.names.empty() ? "" : "subjectAltName=" + request.names + "\n"));
  Run("openssl req" + std::string(kNewKey) + "-subj /CN=" + stem + " -keyout " + stem + ".key -out " + stem + ".csr");
  Run("openssl x509 -req -in " + stem + ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -days " +
      std::to_string(request.days) + " -extfile " + stem + ".ext -out " + stem + ".pem");
  return {directory_.Join(stem + ".pem"), directory_.Join(stem + ".key"), authority_file_};
}

std::string TestAuthority::Revoke(const TlsFiles& files) {
  directory_.WriteFile("ca.conf",
                       "[ca]\ndefault_ca=here\n[here]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n"
                       "default_crl_days=30\n");
  const std::string authority = "openssl ca -config ca.conf -cert ca.pem -keyfile ca.key ";
  Run("touch index && { test -e number || echo 01 > number; } && " + authority + "-revoke " + files.certificate +
      " && " + authority + "-gencrl -out new.crl && mv new.crl revoked.pem");
  return directory_.Join("revoked.pem");
}

void TestAuthority::Run(const std::string& command) {
  const std::string whole = "cd " + directory_.path() + " && umask 077 && { " + command + "; } > log 2>&1";
  EXPECT_EQ(std::system(whole.c_str()), 0) << command;
}

}  // namespace gptvq
