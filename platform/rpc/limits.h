#ifndef GPTVQ_PLATFORM_RPC_LIMITS_H_
#define GPTVQ_PLATFORM_RPC_LIMITS_H_

namespace gptvq {

// Sizes that both sides of the protocol must agree on (docs/protocol.md, "Limits").
inline constexpr int kMaxControlMessageBytes = 1 << 20;
inline constexpr int kMaxDataMessageBytes = 2 << 20;  // PublishLayer: a chunk and its envelope
inline constexpr int kMaxChunkBytes = 1 << 20;

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_LIMITS_H_
