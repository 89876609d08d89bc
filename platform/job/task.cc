#include "platform/job/task.h"

namespace gptvq {

std::string_view Name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kCapture: return "capture";
    case TaskKind::kQuantize: return "quantize";
    case TaskKind::kFinalize: return "finalize";
    case TaskKind::kEvaluate: return "evaluate";
    case TaskKind::kAudit: return "audit";
  }
  return "";
}

std::string_view Name(TaskState state) {
  switch (state) {
    case TaskState::kBlocked: return "blocked";
    case TaskState::kReady: return "ready";
    case TaskState::kLeased: return "leased";
    case TaskState::kCancelling: return "cancelling";
    case TaskState::kCommitted: return "committed";
    case TaskState::kFailed: return "failed";
    case TaskState::kCancelled: return "cancelled";
  }
  return "";
}

std::string_view Name(TaskTrigger trigger) {
  switch (trigger) {
    case TaskTrigger::kUnblock: return "unblock";
    case TaskTrigger::kGrant: return "grant";
    case TaskTrigger::kRenew: return "renew";
    case TaskTrigger::kPublish: return "publish";
    case TaskTrigger::kCheckpoint: return "checkpoint";
    case TaskTrigger::kCommit: return "commit";
    case TaskTrigger::kRetry: return "retry";
    case TaskTrigger::kFail: return "fail";
    case TaskTrigger::kPoison: return "poison";
    case TaskTrigger::kRelease: return "release";
    case TaskTrigger::kExpire: return "expire";
    case TaskTrigger::kStall: return "stall";
    case TaskTrigger::kRevoke: return "revoke";
    case TaskTrigger::kRepair: return "repair";
    case TaskTrigger::kAwait: return "await";
    case TaskTrigger::kDispute: return "dispute";
    case TaskTrigger::kOverturn: return "overturn";
    case TaskTrigger::kSettle: return "settle";
    case TaskTrigger::kCancel: return "cancel";
  }
  return "";
}

std::string_view Name(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kInfra: return "infra";
    case FailureClass::kTransient: return "transient";
    case FailureClass::kDevice: return "device";
    case FailureClass::kInput: return "input";
    case FailureClass::kFatal: return "fatal";
    case FailureClass::kBug: return "bug";
  }
  return "";
}

std::string_view Name(EvaluationTarget target) {
  switch (target) {
    case EvaluationTarget::kSource: return "source";
    case EvaluationTarget::kQuantized: return "quantized";
  }
  return "";
}

std::string_view Name(TaskPhase phase) {
  switch (phase) {
    case TaskPhase::kLoad: return "load";
    case TaskPhase::kForward: return "forward";
    case TaskPhase::kHessian: return "hessian";
    case TaskPhase::kQuantize: return "quantize";
    case TaskPhase::kPublish: return "publish";
    case TaskPhase::kFinalize: return "finalize";
    case TaskPhase::kEvaluate: return "evaluate";
  }
  return "";
}

std::optional<TaskTrigger> ParseTaskTrigger(std::string_view text) {
  for (TaskTrigger trigger : kAllTaskTriggers) {
    if (Name(trigger) == text) return trigger;
  }
  return std::nullopt;
}

bool IsTerminal(TaskState state) {
  switch (state) {
    case TaskState::kBlocked:
    case TaskState::kReady:
    case TaskState::kLeased:
    case TaskState::kCancelling: return false;
    case TaskState::kCommitted:
    case TaskState::kFailed:
    case TaskState::kCancelled: return true;
  }
  return false;
}

bool IsHeld(TaskState state) { return state == TaskState::kLeased || state == TaskState::kCancelling; }

std::optional<int> AuditedBy(const TaskDescription& task) {
  return task.kind == TaskKind::kAudit ? std::optional(task.dependencies.back()) : std::nullopt;
}

std::string_view JobIdOf(std::string_view task_id) { return task_id.substr(0, task_id.find('/')); }

std::optional<Digest> OutputBoundary(const TaskResult& result) {
  if (const auto* capture = std::get_if<CaptureResult>(&result.outcome)) return capture->output_boundary;
  if (const auto* quantize = std::get_if<QuantizeResult>(&result.outcome)) return quantize->output_boundary;
  return std::nullopt;
}

}  // namespace gptvq
