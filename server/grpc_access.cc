#include "server/grpc_access.h"

#include <utility>

#include "grpc/grpc_security_constants.h"
#include "platform/rpc/status.h"
#include "platform/tls/certificate.h"

namespace gptvq {
namespace {

// The one that the handshake verified; empty without TLS, and so without a role where TLS is on.
Certificate CertificateOf(const grpc::AuthContext& context) {
  for (const grpc::string_ref& pem : context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME)) {
    absl::StatusOr<Certificate> certificate = ParseCertificate({pem.data(), pem.size()});
    if (certificate.ok()) return *std::move(certificate);
  }
  return {};
}

class AuthProcessor final : public grpc::AuthMetadataProcessor {
 public:
  explicit AuthProcessor(const CallGuard& guard) : guard_(guard) {}

  // Everything is in memory, but for a token file that has changed.
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata*) override {
    const auto value = [&metadata](const char* key) {
      const auto found = metadata.find(key);
      return found == metadata.end() ? std::string_view()
                                     : std::string_view(found->second.data(), found->second.size());
    };
    const std::string_view authorization = value("authorization");
    const absl::Status status = guard_.Admit({CertificateOf(*context), ""}, value(":path"), authorization);
    // No service needs to see the token.
    if (!authorization.empty()) consumed->emplace("authorization", authorization);
    return ToGrpcStatus(status);
  }

 private:
  const CallGuard& guard_;
};

}  // namespace

Peer PeerOf(const grpc::ServerContext& context) { return {CertificateOf(*context.auth_context()), context.peer()}; }

std::shared_ptr<grpc::AuthMetadataProcessor> MakeAuthProcessor(const CallGuard& guard) {
  return std::make_shared<AuthProcessor>(guard);
}

}  // namespace gptvq
