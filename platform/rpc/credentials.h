#ifndef GPTVQ_PLATFORM_RPC_CREDENTIALS_H_
#define GPTVQ_PLATFORM_RPC_CREDENTIALS_H_

#include <memory>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "platform/tls/connection_security.h"
#include "platform/tls/tls_files.h"

namespace gptvq {

// Both sides look at their files once a second and use new ones for the next handshake; connections that stand keep theirs.
// Whoever renews them replaces the directory that holds all three (docs/security.md), else a handshake in between may
// meet a certificate and a key that do not fit, and fails.

// The side that calls: wants a certificate with the role coordinator, so that no worker can pose as one, and for its host; shows
// its own, and sends the token, read anew for every call, as `authorization: Bearer`. `security` must be valid.
std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const ConnectionSecurity& security,
                                                                 HostCheck host_check);

// The side that serves: nobody gets through the handshake without a certificate of the authority. TLS 1.2 or 1.3.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CREDENTIALS_H_
