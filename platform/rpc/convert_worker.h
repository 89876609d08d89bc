#ifndef GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "gptvq/v1/job_service.pb.h"
#include "platform/job/device_health.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// What is remembered of workers, for people and for the journal. FromProto(ToProto(x)) == x but for the revision, which is
// the journal's own. Pure. Errors: InvalidArgument (INVALID_FIELD) naming the field.
v1::WorkerTrust ToProto(WorkerTrust trust);
v1::WorkerRecord ToProto(const WorkerRecord& record);

absl::StatusOr<WorkerTrust> FromProto(v1::WorkerTrust trust);
absl::StatusOr<WorkerRecord> FromProto(const v1::WorkerRecord& proto);

// Health of devices. A condition that this version does not know is kUnknown: it may come from a newer peer.
v1::DeviceHealth ToProto(const DeviceHealth& health);
DeviceHealth FromProto(const v1::DeviceHealth& proto);
// At most 64, with texts of at most 64 and 256 bytes. Errors: InvalidArgument (INVALID_FIELD) naming `devices`.
absl::StatusOr<std::vector<DeviceHealth>> DevicesFromProto(
    const google::protobuf::RepeatedPtrField<v1::DeviceHealth>& protos);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_
