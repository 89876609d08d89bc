#include "platform/rpc/convert_time.h"

#include <algorithm>
#include <cstdint>

namespace gptvq {
namespace {

// 292 years in seconds: what a 64-bit number of nanoseconds holds.
constexpr std::int64_t kMaxSeconds = 9'214'646'400;

std::int64_t ClampSeconds(std::int64_t seconds) { return std::clamp(seconds, -kMaxSeconds, kMaxSeconds); }

}  // namespace

google::protobuf::Duration ToProto(std::chrono::milliseconds duration) {
  google::protobuf::Duration result;
  result.set_seconds(duration.count() / 1000);
  result.set_nanos(static_cast<std::int32_t>(duration.count() % 1000) * 1'000'000);
  return result;
}

std::chrono::milliseconds FromProto(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(ClampSeconds(duration.seconds())) +
         std::chrono::milliseconds(duration.nanos() / 1'000'000);
}

google::protobuf::Timestamp ToProto(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto micros = std::chrono::floor<std::chrono::microseconds>(since_epoch - seconds);
  google::protobuf::Timestamp result;
  result.set_seconds(seconds.count());
  result.set_nanos(static_cast<std::int32_t>(micros.count()) * 1000);
  return result;
}

WallTime FromProto(const google::protobuf::Timestamp& timestamp) {
  return WallTime(std::chrono::seconds(ClampSeconds(timestamp.seconds())) +
                  std::chrono::microseconds(timestamp.nanos() / 1000));
}

}  // namespace gptvq
