#include "platform/rpc/convert_worker.h"

#include "core/base/status_macros.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {

v1::WorkerTrust ToProto(WorkerTrust trust) {
  switch (trust) {
    case WorkerTrust::kTrusted: return v1::WORKER_TRUST_TRUSTED;
    case WorkerTrust::kSuspect: return v1::WORKER_TRUST_SUSPECT;
    case WorkerTrust::kQuarantined: return v1::WORKER_TRUST_QUARANTINED;
  }
  return v1::WORKER_TRUST_UNSPECIFIED;
}

absl::StatusOr<WorkerTrust> FromProto(v1::WorkerTrust trust) { return EnumFromProto(kAllWorkerTrusts, trust, "trust"); }

v1::WorkerRecord ToProto(const WorkerRecord& record) {
  v1::WorkerRecord proto;
  proto.set_name(record.name);
  proto.set_trust(ToProto(record.trust));
  for (const WorkerFailure& failure : record.failures) {
    v1::WorkerFailure* added = proto.add_failures();
    added->set_task_id(failure.task_id);
    added->set_failure_class(ToProto(failure.failure_class));
    *added->mutable_time() = ToProto(failure.time);
    added->set_refuted(failure.refuted);
    added->set_in_a_row(failure.in_a_row);
  }
  proto.set_quarantine_count(record.quarantine_count);
  if (record.quarantine_end) *proto.mutable_quarantine_end() = ToProto(*record.quarantine_end);
  proto.set_reason(record.reason);
  return proto;
}

absl::StatusOr<WorkerRecord> FromProto(const v1::WorkerRecord& proto) {
  WorkerRecord record;
  record.name = proto.name();
  GPTVQ_ASSIGN_OR_RETURN(record.trust, FromProto(proto.trust()));
  for (const v1::WorkerFailure& failure : proto.failures()) {
    record.failures.push_back({failure.task_id(), FromProto(failure.failure_class()), FromProto(failure.time()),
                               failure.refuted(), failure.in_a_row()});
  }
  record.quarantine_count = proto.quarantine_count();
  if (proto.has_quarantine_end()) record.quarantine_end = FromProto(proto.quarantine_end());
  record.reason = proto.reason();
  return record;
}

}  // namespace gptvq
