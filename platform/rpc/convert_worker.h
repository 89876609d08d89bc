#ifndef GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_

#include "absl/status/statusor.h"
#include "gptvq/v1/job_service.pb.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// What is remembered of workers, for people and for the journal. FromProto(ToProto(x)) == x but for the revision, which is
// the journal's own. Pure. Errors: InvalidArgument (INVALID_FIELD) naming the field.
v1::WorkerTrust ToProto(WorkerTrust trust);
v1::WorkerRecord ToProto(const WorkerRecord& record);

absl::StatusOr<WorkerTrust> FromProto(v1::WorkerTrust trust);
absl::StatusOr<WorkerRecord> FromProto(const v1::WorkerRecord& proto);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_WORKER_H_
