#include "platform/rpc/record_codec.h"

#include "core/base/status_macros.h"
#include "platform/rpc/convert_job.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_worker.h"

namespace gptvq {
namespace {

template <typename Proto>
absl::StatusOr<Proto> Parse(std::string_view bytes) {
  Proto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(absl::StrCat("journal record is not a ", Proto::descriptor()->full_name()));
  }
  return proto;
}

template <typename Value>
absl::StatusOr<Value> AsDataLoss(absl::StatusOr<Value> value) {
  if (value.ok()) return value;
  return absl::DataLossError(absl::StrCat("journal record: ", value.status().message()));
}

}  // namespace

std::string EncodeJobSpec(const JobSpec& spec) { return ToProto(spec).SerializeAsString(); }

absl::StatusOr<JobSpec> DecodeJobSpec(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::JobSpec proto, Parse<v1::JobSpec>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodeTaskResult(const TaskResult& result) { return ToProto(result).SerializeAsString(); }

absl::StatusOr<TaskResult> DecodeTaskResult(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::TaskResult proto, Parse<v1::TaskResult>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodeTaskFailure(const TaskFailure& failure) { return ToProto(failure).SerializeAsString(); }

absl::StatusOr<TaskFailure> DecodeTaskFailure(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::TaskFailure proto, Parse<v1::TaskFailure>(bytes));
  return FromProto(proto);
}

std::string EncodeFailedAttempts(const std::vector<FailedAttempt>& attempts) {
  v1::FailedAttempts proto;
  for (const FailedAttempt& attempt : attempts) {
    v1::FailedAttempt* added = proto.add_attempts();
    added->set_worker_name(attempt.worker_name);
    added->set_failure_class(ToProto(attempt.failure_class));
    added->set_lost(attempt.lost);
    added->set_refuted(attempt.refuted);
    added->set_outlived(attempt.outlived);
  }
  return proto.SerializeAsString();
}

absl::StatusOr<std::vector<FailedAttempt>> DecodeFailedAttempts(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::FailedAttempts proto, Parse<v1::FailedAttempts>(bytes));
  std::vector<FailedAttempt> attempts;
  for (const v1::FailedAttempt& attempt : proto.attempts()) {
    attempts.push_back({attempt.worker_name(), FromProto(attempt.failure_class()), attempt.lost(), attempt.refuted(),
                        attempt.outlived()});
  }
  return attempts;
}

std::string EncodeRepairStatus(const RepairStatus& repair) {
  v1::TaskRepair proto;
  for (int layer : repair.lost_layers) proto.add_lost_layers(layer);
  proto.set_missing_inputs(repair.missing_inputs);
  return proto.SerializeAsString();
}

absl::StatusOr<RepairStatus> DecodeRepairStatus(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::TaskRepair proto, Parse<v1::TaskRepair>(bytes));
  return RepairStatus{{proto.lost_layers().begin(), proto.lost_layers().end()}, proto.missing_inputs()};
}

std::string EncodeAuditStatus(const AuditStatus& audit) { return ToProto(audit).SerializeAsString(); }

absl::StatusOr<AuditStatus> DecodeAuditStatus(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::TaskAudit proto, Parse<v1::TaskAudit>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodeTaskCheckpoint(const TaskCheckpoint& checkpoint) { return ToProto(checkpoint).SerializeAsString(); }

absl::StatusOr<TaskCheckpoint> DecodeTaskCheckpoint(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::TaskCheckpoint proto, Parse<v1::TaskCheckpoint>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodeWorkerRecord(const WorkerRecord& record) { return ToProto(record).SerializeAsString(); }

absl::StatusOr<WorkerRecord> DecodeWorkerRecord(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::WorkerRecord proto, Parse<v1::WorkerRecord>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodePublishedLayer(const PublishedLayer& layer) { return ToProto(layer).SerializeAsString(); }

absl::StatusOr<PublishedLayer> DecodePublishedLayer(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::PublishedLayer proto, Parse<v1::PublishedLayer>(bytes));
  return AsDataLoss(FromProto(proto));
}

std::string EncodeJobEvent(const JobEvent& event) { return ToProto(event).SerializeAsString(); }

absl::StatusOr<JobEvent> DecodeJobEvent(std::string_view bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const v1::JobEvent proto, Parse<v1::JobEvent>(bytes));
  return AsDataLoss(FromProto(proto));
}

}  // namespace gptvq
