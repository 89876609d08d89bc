#ifndef GPTVQ_PLATFORM_RPC_RECORD_CODEC_H_
#define GPTVQ_PLATFORM_RPC_RECORD_CODEC_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/job/job.h"
#include "platform/job/worker_record.h"

namespace gptvq {

// The structured columns of the job store as bytes: the same messages as on the wire, so that a journal of an older version
// is read by the rules that keep older peers working. Decode(Encode(x)) == x. Pure; no protobuf type in this header.
// Errors of Decode: DataLoss, for bytes that no Encode wrote.
std::string EncodeJobSpec(const JobSpec& spec);
absl::StatusOr<JobSpec> DecodeJobSpec(std::string_view bytes);

std::string EncodeTaskResult(const TaskResult& result);
absl::StatusOr<TaskResult> DecodeTaskResult(std::string_view bytes);

std::string EncodeTaskFailure(const TaskFailure& failure);
absl::StatusOr<TaskFailure> DecodeTaskFailure(std::string_view bytes);

std::string EncodeFailedAttempts(const std::vector<FailedAttempt>& attempts);
absl::StatusOr<std::vector<FailedAttempt>> DecodeFailedAttempts(std::string_view bytes);

std::string EncodeAuditStatus(const AuditStatus& audit);
absl::StatusOr<AuditStatus> DecodeAuditStatus(std::string_view bytes);
std::string EncodeRepairStatus(const RepairStatus& repair);
absl::StatusOr<RepairStatus> DecodeRepairStatus(std::string_view bytes);
std::string EncodeTaskCheckpoint(const TaskCheckpoint& checkpoint);
absl::StatusOr<TaskCheckpoint> DecodeTaskCheckpoint(std::string_view bytes);

// But for the revision, which has a column of its own.
std::string EncodeWorkerRecord(const WorkerRecord& record);
absl::StatusOr<WorkerRecord> DecodeWorkerRecord(std::string_view bytes);

std::string EncodePublishedLayer(const PublishedLayer& layer);
absl::StatusOr<PublishedLayer> DecodePublishedLayer(std::string_view bytes);

std::string EncodeJobEvent(const JobEvent& event);
absl::StatusOr<JobEvent> DecodeJobEvent(std::string_view bytes);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_RECORD_CODEC_H_
