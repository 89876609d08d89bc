#include "platform/rpc/convert_worker.h"

#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {
namespace {

constexpr int kMaxDevices = 64;
constexpr std::size_t kMaxSlotBytes = 64;
constexpr std::size_t kMaxDetailBytes = 256;

v1::DeviceCondition ToProto(DeviceCondition condition) {
  switch (condition) {
    case DeviceCondition::kUnknown: return v1::DEVICE_CONDITION_UNSPECIFIED;
    case DeviceCondition::kHealthy: return v1::DEVICE_CONDITION_HEALTHY;
    case DeviceCondition::kDrain: return v1::DEVICE_CONDITION_DRAIN;
    case DeviceCondition::kFailedSelfTest: return v1::DEVICE_CONDITION_FAILED_SELF_TEST;
    case DeviceCondition::kReset: return v1::DEVICE_CONDITION_RESET;
    case DeviceCondition::kReboot: return v1::DEVICE_CONDITION_REBOOT;
  }
  return v1::DEVICE_CONDITION_UNSPECIFIED;
}

DeviceCondition FromProto(v1::DeviceCondition proto) {
  for (const DeviceCondition condition : kAllDeviceConditions) {
    if (ToProto(condition) == proto) return condition;
  }
  return DeviceCondition::kUnknown;
}

}  // namespace

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
  proto.set_distrusted(record.distrusted);
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
  record.distrusted = proto.distrusted();
  return record;
}

v1::DeviceHealth ToProto(const DeviceHealth& health) {
  v1::DeviceHealth proto;
  proto.set_slot(health.slot);
  proto.set_condition(ToProto(health.condition));
  proto.set_uncorrected_errors(health.uncorrected_errors);
  proto.set_detail(health.detail);
  return proto;
}

DeviceHealth FromProto(const v1::DeviceHealth& proto) {
  return {proto.slot(), FromProto(proto.condition()), proto.uncorrected_errors(), proto.detail()};
}

absl::StatusOr<std::vector<DeviceHealth>> DevicesFromProto(
    const google::protobuf::RepeatedPtrField<v1::DeviceHealth>& protos) {
  if (protos.size() > kMaxDevices) return Refuse(ErrorReason::kInvalidField, "devices: more than 64");
  std::vector<DeviceHealth> devices;
  for (const v1::DeviceHealth& proto : protos) {
    if (proto.slot().empty() || proto.slot().size() > kMaxSlotBytes || proto.detail().size() > kMaxDetailBytes) {
      return Refuse(ErrorReason::kInvalidField, "devices: a slot or detail is empty or too long");
    }
    devices.push_back(FromProto(proto));
  }
  return devices;
}

}  // namespace gptvq
