#ifndef GPTVQ_PLATFORM_RPC_CONVERT_ENUM_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_ENUM_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "platform/job/error_reason.h"

namespace gptvq {

// The inverse of an enum's ToProto(): the element of `all` that becomes `proto`. UNSPECIFIED and numbers that this build
// does not know are InvalidArgument naming `field`. Private to platform/rpc.
template <typename Enums, typename Proto>
absl::StatusOr<typename Enums::value_type> EnumFromProto(const Enums& all, Proto proto, std::string_view field) {
  for (const auto value : all) {
    if (ToProto(value) == proto) return value;
  }
  return Refuse(ErrorReason::kInvalidField,
                absl::StrCat(std::string(field), proto == Proto{} ? ": is required" : ": unknown value ",
                             proto == Proto{} ? "" : absl::StrCat(static_cast<int>(proto))));
}

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_ENUM_H_
