#ifndef GPTVQ_PLATFORM_RPC_PROTOCOL_VERSION_H_
#define GPTVQ_PLATFORM_RPC_PROTOCOL_VERSION_H_

#include <string_view>

namespace gptvq {

// `major.minor` of package gptvq.v1 as this build speaks it. Peers of the same major work together; a minor adds what
// older peers may ignore.
inline constexpr std::string_view kProtocolVersion = "1.1";

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_PROTOCOL_VERSION_H_
