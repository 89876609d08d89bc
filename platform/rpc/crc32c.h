#ifndef GPTVQ_PLATFORM_RPC_CRC32C_H_
#define GPTVQ_PLATFORM_RPC_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace gptvq {

// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4) of `bytes`. Pure.
std::uint32_t Crc32c(std::string_view bytes);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CRC32C_H_
