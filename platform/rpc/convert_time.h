#ifndef GPTVQ_PLATFORM_RPC_CONVERT_TIME_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_TIME_H_

#include <chrono>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "platform/clock.h"

namespace gptvq {

// Durations and dates of the wire. Pure and total: what is beyond +-292 years, which no peer of ours sends, is clamped;
// durations are cut to whole milliseconds, dates to microseconds.
google::protobuf::Duration ToProto(std::chrono::milliseconds duration);
std::chrono::milliseconds FromProto(const google::protobuf::Duration& duration);
google::protobuf::Timestamp ToProto(WallTime time);
WallTime FromProto(const google::protobuf::Timestamp& timestamp);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_TIME_H_
