#ifndef GPTVQ_CORE_BACKEND_DEVICE_LOST_H_
#define GPTVQ_CORE_BACKEND_DEVICE_LOST_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace gptvq {

// A device that failed so that nothing computed in this process can be trusted any more: no retry in place makes sense,
// the process must end. Marked by a payload, because no status code says it.
inline constexpr char kDeviceLostUrl[] = "gptvq/device-lost";

inline absl::Status DeviceLostError(std::string_view message) {
  absl::Status status(absl::StatusCode::kInternal, absl::string_view(message.data(), message.size()));
  status.SetPayload(kDeviceLostUrl, absl::Cord());
  return status;
}

inline bool IsDeviceLost(const absl::Status& status) { return status.GetPayload(kDeviceLostUrl).has_value(); }

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_DEVICE_LOST_H_
