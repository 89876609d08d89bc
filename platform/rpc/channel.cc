#include "platform/rpc/channel.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "grpcpp/create_channel.h"

namespace gptvq {
namespace {

constexpr int kPingEveryMs = 60'000;
constexpr int kPingTimeoutMs = 20'000;
constexpr int kLeastPingIntervalMs = 30'000;  // of a client, before the server closes the connection
constexpr int kFirstReconnectMs = 250;        // gRPC's own defaults are 1 s and 120 s; a lease lasts 30 s
constexpr int kLongestReconnectMs = 5'000;
// What gRPC calls the minimal backoff is how long it tries to connect. As long as a server waits for a handshake.
constexpr int kConnectTimeoutMs = 10'000;
constexpr int kMaxStreams = 100;
constexpr int kMaxMetadataBytes = 16 << 10;
// What a stream may send ahead of its reader: what gRPC measures by itself on a fast network is many times as much, for each of
// the layers that wait for a place. At a round trip of 100 ms it is 20 MB/s.
constexpr int kStreamWindowBytes = 2 << 20;
constexpr int kMaxConnectionAgeMs = 30 * 60'000;
constexpr int kConnectionAgeGraceMs = 10 * 60'000;

// Only round_robin watches the health of its servers. Not for a single one: a coordinator that drains is not serving, and
// still takes what workers report.
constexpr char kOnlyServingConfig[] =
    R"({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "gptvq.v1.JobService"}})";

}  // namespace

void DriveConnectionsBetweenCalls() { setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "200", /*overwrite=*/0); }

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const ConnectionSecurity& security) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxDataMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxDataMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // unlimited: the interval above bounds them
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  // Otherwise all channels of a process to one address would share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Retries belong to the caller, who knows what may be repeated.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (!absl::StrContains(address, ',')) {
    return grpc::CreateCustomChannel(address, MakeChannelCredentials(security, HostCheck::kNamesTheHost), arguments);
  }
  arguments.SetServiceConfigJSON(kOnlyServingConfig);
  // By default it is the whole list, which a server looks up in vain among its names, and logs, with every handshake.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, address.substr(0, address.find(',')));
  return grpc::CreateCustomChannel("ipv4:" + address, MakeChannelCredentials(security, HostCheck::kNone), arguments);
}

void ConfigureServer(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxDataMessageBytes);
  builder.SetMaxSendMessageSize(kMaxDataMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kMaxConnectionAgeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kConnectionAgeGraceMs);
}

}  // namespace gptvq
