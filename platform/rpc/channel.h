#ifndef GPTVQ_PLATFORM_RPC_CHANNEL_H_
#define GPTVQ_PLATFORM_RPC_CHANNEL_H_

#include <memory>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/server_builder.h"
#include "platform/rpc/credentials.h"
#include "platform/rpc/limits.h"

namespace gptvq {

// How peers of this protocol talk: limits and keepalive that both sides must agree on, in one place.

// A channel to `address`, "host:port" or "unix:/path", or to the one of "IPv4:port,IPv4:port,..." whose health check says
// SERVING: coordinators of which one leads. `security` must be valid. Has a connection of its own. Connects when first used and
// again after failures, at most 5 s apart. Pings every 60 s, also between calls, so that a peer that vanished is noticed.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const ConnectionSecurity& security = {});

// gRPC goes on with a connection that is being made while a call waits, and else every five seconds, each time by one step. A
// TLS handshake has four, so a caller that pauses between its tries would never get through before the connection is given
// up. This makes it five times a second. gRPC can be told so by a variable of the environment only: to be called at the
// beginning of main(), before there are threads. A value that is set already is kept.
void DriveConnectionsBetweenCalls();

// The server side of the same: message size, pings no more often than every 30 s tolerated, 100 streams and 16 KiB of
// metadata per connection. A connection is asked to make place for a new one after half an hour, so that
// certificates that ran out do not serve for ever; what it carries then has ten minutes to end, longer than the largest
// layer takes. gRPC knows one size limit per server, the data one; control services check their own.
void ConfigureServer(grpc::ServerBuilder& builder);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CHANNEL_H_
