#ifndef GPTVQ_PLATFORM_RPC_CONVERT_REPORT_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_REPORT_H_

#include "absl/status/statusor.h"
#include "gptvq/v1/job.pb.h"
#include "platform/job/report.h"

namespace gptvq {

// Metrics and reports across the wire. FromProto(ToProto(x)) == x for every valid x. Pure.
// Errors of FromProto: InvalidArgument (INVALID_FIELD) naming the field: a name that is empty or too long, a count that is
// negative, a number that is not finite.
v1::BitCount ToProto(const BitCount& bits);
v1::LinearReport ToProto(const LinearReport& linear);
v1::PublishedLayer ToProto(const PublishedLayer& layer);
v1::TaskCheckpoint ToProto(const TaskCheckpoint& checkpoint);
v1::Report ToProto(const Report& report);

absl::StatusOr<LinearReport> FromProto(const v1::LinearReport& proto);
absl::StatusOr<PublishedLayer> FromProto(const v1::PublishedLayer& proto);
// A sequence from 1 on, 1 to 64 linears.
absl::StatusOr<TaskCheckpoint> FromProto(const v1::TaskCheckpoint& proto);
// The size of the manifest does not travel: report.manifest has size 0.
absl::StatusOr<Report> FromProto(const v1::Report& proto);

inline constexpr int kMaxLinearsPerLayer = 64;
inline constexpr int kMaxLinearNameBytes = 256;

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_REPORT_H_
