#ifndef GPTVQ_SERVER_GRPC_ACCESS_H_
#define GPTVQ_SERVER_GRPC_ACCESS_H_

#include <memory>

#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/server_context.h"
#include "server/call_guard.h"

namespace gptvq {

// gRPC's view of a caller as CallGuard takes it.
Peer PeerOf(const grpc::ServerContext& context);

// Asks `guard`, which is borrowed, about every call of a TLS server before any service sees it: ours, health, reflection,
// and methods that do not exist. Refusals travel without a reason: gRPC takes only code and message here.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeAuthProcessor(const CallGuard& guard);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_GRPC_ACCESS_H_
