#include "platform/rpc/credentials.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "platform/identity.h"
#include "platform/rpc/status.h"
#include "platform/secret_file.h"

namespace gptvq {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::TlsCustomVerificationCheckRequest;

constexpr unsigned kReloadSeconds = 1;

std::shared_ptr<FileWatcherCertificateProvider> Watch(const TlsFiles& files) {
  return std::make_shared<FileWatcherCertificateProvider>(files.key, files.certificate, files.authority,
                                                          kReloadSeconds);
}

// Asked after the chain of certificates was verified.
class CoordinatorVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit CoordinatorVerifier(HostCheck host_check) : host_check_(host_check) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* answer) override {
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names()) uris.emplace_back(uri.data(), uri.size());
    *answer = ToGrpcStatus(CheckIsCoordinator(uris));
    if (answer->ok() && host_check_ == HostCheck::kNamesTheHost) {
      host_names_.Verify(
          request, [](grpc::Status) {}, answer);  // answers at once
    }
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const HostCheck host_check_;
  grpc::experimental::HostNameCertificateVerifier host_names_;
};

class BearerToken final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit BearerToken(std::string file) : file_(std::move(file)) {}

  // A file is read without waiting for anybody.
  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return "gptvq-token"; }

  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    const absl::StatusOr<Secret> token = ReadSecretFile(file_);
    if (!token.ok()) return ToGrpcStatus(WithContext(token.status(), "--token-file"));
    metadata->emplace("authorization", absl::StrCat("Bearer ", token->Reveal()));
    return grpc::Status::OK;
  }

  grpc::string DebugString() override { return absl::StrCat("token of ", file_); }

 private:
  const std::string file_;
};

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const ConnectionSecurity& security,
                                                                 HostCheck host_check) {
  if (security.tls.empty()) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Watch(security.tls));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<CoordinatorVerifier>(host_check));
  options.set_check_call_host(host_check == HostCheck::kNamesTheHost);
  std::shared_ptr<grpc::ChannelCredentials> tls = grpc::experimental::TlsCredentials(options);
  if (security.token_file.empty()) return tls;
  return grpc::CompositeChannelCredentials(
      tls, grpc::MetadataCredentialsFromPlugin(std::make_unique<BearerToken>(security.token_file)));
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files) {
  grpc::experimental::TlsServerCredentialsOptions options(Watch(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace gptvq
