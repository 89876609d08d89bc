#include "platform/rpc/convert_task.h"

#include <cmath>

#include "core/base/status_macros.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {
namespace {

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return Refuse(ErrorReason::kInvalidField, absl::StrCat(field, ": ", why));
}

constexpr std::array kEvaluationTargets = {EvaluationTarget::kSource, EvaluationTarget::kQuantized};

absl::StatusOr<std::vector<TaskPhaseSeconds>> SecondsFromProto(const v1::TaskResult& proto) {
  std::vector<TaskPhaseSeconds> seconds;
  std::array<bool, kAllTaskPhases.size()> seen{};
  for (const v1::TaskPhaseSeconds& entry : proto.seconds()) {
    GPTVQ_ASSIGN_OR_RETURN(const TaskPhase phase, EnumFromProto(kAllTaskPhases, entry.phase(), "seconds.phase"));
    if (!std::isfinite(entry.seconds()) || entry.seconds() < 0) return Invalid("seconds", "not a duration");
    if (std::exchange(seen[static_cast<std::size_t>(phase)], true)) return Invalid("seconds", "phase given twice");
    seconds.push_back({phase, entry.seconds()});
  }
  return seconds;
}

}  // namespace

v1::ArtifactRef ToProto(const Digest& digest) {
  v1::ArtifactRef proto;
  proto.mutable_digest()->set_sha256_hex(digest.hex());
  proto.mutable_digest()->set_size_bytes(digest.size_bytes());
  return proto;
}

absl::StatusOr<Digest> FromProto(const v1::Digest& proto) {
  auto digest = Digest::FromHex(proto.sha256_hex(), proto.size_bytes());
  if (!digest.ok()) return Invalid("digest", digest.status().message());
  return digest;
}

absl::StatusOr<Digest> FromProto(const v1::ArtifactRef& proto) { return FromProto(proto.digest()); }

v1::TaskKind ToProto(TaskKind kind) {
  switch (kind) {
    case TaskKind::kCapture: return v1::TASK_KIND_CAPTURE;
    case TaskKind::kQuantize: return v1::TASK_KIND_QUANTIZE;
    case TaskKind::kFinalize: return v1::TASK_KIND_FINALIZE;
    case TaskKind::kEvaluate: return v1::TASK_KIND_EVALUATE;
    case TaskKind::kAudit: return v1::TASK_KIND_AUDIT;
  }
  return v1::TASK_KIND_UNSPECIFIED;
}

absl::StatusOr<TaskKind> FromProto(v1::TaskKind kind) { return EnumFromProto(kAllTaskKinds, kind, "kind"); }

v1::TaskState ToProto(TaskState state) {
  switch (state) {
    case TaskState::kBlocked: return v1::TASK_STATE_BLOCKED;
    case TaskState::kReady: return v1::TASK_STATE_READY;
    case TaskState::kLeased: return v1::TASK_STATE_LEASED;
    case TaskState::kCancelling: return v1::TASK_STATE_CANCELLING;
    case TaskState::kCommitted: return v1::TASK_STATE_COMMITTED;
    case TaskState::kFailed: return v1::TASK_STATE_FAILED;
    case TaskState::kCancelled: return v1::TASK_STATE_CANCELLED;
  }
  return v1::TASK_STATE_UNSPECIFIED;
}

absl::StatusOr<TaskState> FromProto(v1::TaskState state) { return EnumFromProto(kAllTaskStates, state, "state"); }

v1::TaskPhase ToProto(TaskPhase phase) {
  switch (phase) {
    case TaskPhase::kLoad: return v1::TASK_PHASE_LOAD;
    case TaskPhase::kForward: return v1::TASK_PHASE_FORWARD;
    case TaskPhase::kHessian: return v1::TASK_PHASE_HESSIAN;
    case TaskPhase::kQuantize: return v1::TASK_PHASE_QUANTIZE;
    case TaskPhase::kPublish: return v1::TASK_PHASE_PUBLISH;
    case TaskPhase::kFinalize: return v1::TASK_PHASE_FINALIZE;
    case TaskPhase::kEvaluate: return v1::TASK_PHASE_EVALUATE;
  }
  return v1::TASK_PHASE_UNSPECIFIED;
}

v1::FailureClass ToProto(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kInfra: return v1::FAILURE_CLASS_INFRA;
    case FailureClass::kTransient: return v1::FAILURE_CLASS_TRANSIENT;
    case FailureClass::kDevice: return v1::FAILURE_CLASS_DEVICE;
    case FailureClass::kInput: return v1::FAILURE_CLASS_INPUT;
    case FailureClass::kFatal: return v1::FAILURE_CLASS_FATAL;
    case FailureClass::kBug: return v1::FAILURE_CLASS_BUG;
  }
  return v1::FAILURE_CLASS_UNSPECIFIED;
}

FailureClass FromProto(v1::FailureClass failure_class) {
  constexpr std::array kAll = {FailureClass::kInfra, FailureClass::kTransient, FailureClass::kDevice,
                               FailureClass::kInput, FailureClass::kFatal,     FailureClass::kBug};
  return EnumFromProto(kAll, failure_class, "failure_class").value_or(FailureClass::kTransient);
}

v1::EvaluationTarget ToProto(EvaluationTarget target) {
  switch (target) {
    case EvaluationTarget::kSource: return v1::EVALUATION_TARGET_SOURCE;
    case EvaluationTarget::kQuantized: return v1::EVALUATION_TARGET_QUANTIZED;
  }
  return v1::EVALUATION_TARGET_UNSPECIFIED;
}

absl::StatusOr<EvaluationTarget> FromProto(v1::EvaluationTarget target) {
  return EnumFromProto(kEvaluationTargets, target, "evaluation_target");
}

v1::LayerRange ToProto(LayerRange range) {
  v1::LayerRange proto;
  proto.set_begin(range.begin);
  proto.set_end(range.end);
  return proto;
}

v1::TaskProgress ToProto(const TaskProgress& progress) {
  v1::TaskProgress proto;
  proto.set_counter(progress.counter);
  proto.set_fraction(progress.fraction);
  proto.set_layer(progress.layer);
  proto.set_step(progress.step);
  return proto;
}

absl::StatusOr<TaskProgress> FromProto(const v1::TaskProgress& proto) {
  if (!(proto.fraction() >= 0 && proto.fraction() <= 1)) return Invalid("progress.fraction", "not between 0 and 1");
  if (proto.step().size() > kMaxStepBytes) return Invalid("progress.step", "too long");
  return TaskProgress{proto.counter(), proto.fraction(), proto.layer(), proto.step()};
}

v1::TaskFailure ToProto(const TaskFailure& failure) {
  v1::TaskFailure proto;
  proto.set_failure_class(ToProto(failure.failure_class));
  proto.set_message(failure.message);
  proto.set_worker_name(failure.worker_name);
  return proto;
}

TaskFailure FromProto(const v1::TaskFailure& proto) {
  return {FromProto(proto.failure_class()), proto.message().substr(0, kMaxFailureMessageBytes), proto.worker_name()};
}

v1::TaskResult ToProto(const TaskResult& result) {
  v1::TaskResult proto;
  for (const TaskPhaseSeconds& entry : result.seconds) {
    v1::TaskPhaseSeconds* added = proto.add_seconds();
    added->set_phase(ToProto(entry.phase));
    added->set_seconds(entry.seconds);
  }
  if (const auto* capture = std::get_if<CaptureResult>(&result.outcome)) {
    *proto.mutable_capture()->mutable_output_boundary() = ToProto(capture->output_boundary);
  } else if (const auto* quantize = std::get_if<QuantizeResult>(&result.outcome)) {
    v1::QuantizeResult* outcome = proto.mutable_quantize();
    if (quantize->output_boundary) *outcome->mutable_output_boundary() = ToProto(*quantize->output_boundary);
  } else if (const auto* finalize = std::get_if<FinalizeResult>(&result.outcome)) {
    proto.mutable_finalize()->set_output_bytes(finalize->output_bytes);
    *proto.mutable_finalize()->mutable_manifest() = ToProto(finalize->manifest).digest();
  } else {
    const auto& evaluate = std::get<EvaluateResult>(result.outcome);
    proto.mutable_evaluate()->set_perplexity(evaluate.perplexity);
    proto.mutable_evaluate()->set_token_count(evaluate.token_count);
  }
  return proto;
}

absl::StatusOr<TaskResult> FromProto(const v1::TaskResult& proto) {
  TaskResult result;
  GPTVQ_ASSIGN_OR_RETURN(result.seconds, SecondsFromProto(proto));
  switch (proto.outcome_case()) {
    case v1::TaskResult::kCapture: {
      GPTVQ_ASSIGN_OR_RETURN(const Digest boundary, FromProto(proto.capture().output_boundary()));
      result.outcome = CaptureResult{boundary};
      return result;
    }
    case v1::TaskResult::kQuantize: {
      QuantizeResult quantize;
      if (proto.quantize().has_output_boundary()) {
        GPTVQ_ASSIGN_OR_RETURN(quantize.output_boundary, FromProto(proto.quantize().output_boundary()));
      }
      result.outcome = quantize;
      return result;
    }
    case v1::TaskResult::kFinalize: {
      GPTVQ_ASSIGN_OR_RETURN(const Digest manifest, FromProto(proto.finalize().manifest()));
      result.outcome = FinalizeResult{proto.finalize().output_bytes(), manifest};
      return result;
    }
    case v1::TaskResult::kEvaluate: {
      const v1::EvaluateResult& evaluate = proto.evaluate();
      if (!std::isfinite(evaluate.perplexity()) || evaluate.perplexity() < 1) {
        return Invalid("evaluate.perplexity", "not a finite number of at least 1");
      }
      if (evaluate.token_count() <= 0) return Invalid("evaluate.token_count", "not positive");
      result.outcome = EvaluateResult{evaluate.perplexity(), evaluate.token_count()};
      return result;
    }
    case v1::TaskResult::OUTCOME_NOT_SET: break;
  }
  return Invalid("result.outcome", "is required");
}

v1::Lease ToProto(const Lease& lease) {
  v1::Lease proto;
  proto.set_task_id(lease.task_id);
  proto.set_epoch(lease.epoch);
  proto.set_worker_name(lease.worker_name);
  proto.set_incarnation(lease.incarnation);
  proto.set_lease_token(lease.token);
  return proto;
}

absl::StatusOr<Lease> FromProto(const v1::Lease& proto) {
  if (proto.task_id().empty() || proto.task_id().size() > kMaxTaskIdBytes)
    return Invalid("lease.task_id", "is required");
  if (proto.epoch() <= 0) return Invalid("lease.epoch", "not positive");
  if (proto.worker_name().empty() || proto.incarnation().empty()) return Invalid("lease", "names no holder");
  return Lease{proto.task_id(), proto.epoch(), proto.worker_name(), proto.incarnation(), proto.lease_token()};
}

v1::TaskGrant ToProto(const TaskGrant& grant) {
  v1::TaskGrant proto;
  *proto.mutable_lease() = ToProto(grant.lease);
  *proto.mutable_ttl() = ToProto(grant.ttl);
  proto.set_kind(ToProto(grant.kind));
  proto.set_attempt(grant.attempt);
  proto.set_job_id(grant.job_id);
  *proto.mutable_spec() = ToProto(grant.spec);
  proto.set_layer_count(grant.layer_count);
  *proto.mutable_layers() = ToProto(grant.layers);
  if (grant.input_boundary) *proto.mutable_input_boundary() = ToProto(*grant.input_boundary);
  proto.set_output_boundary_wanted(grant.output_boundary_wanted);
  for (const PublishedLayer& layer : grant.published_layers) *proto.add_published_layers() = ToProto(layer);
  if (grant.checkpoint) *proto.mutable_checkpoint() = ToProto(*grant.checkpoint);
  if (grant.target) proto.set_evaluation_target(ToProto(*grant.target));
  return proto;
}

absl::StatusOr<TaskGrant> FromProto(const v1::TaskGrant& proto) {
  TaskGrant grant;
  GPTVQ_ASSIGN_OR_RETURN(grant.lease, FromProto(proto.lease()));
  grant.ttl = FromProto(proto.ttl());
  GPTVQ_ASSIGN_OR_RETURN(grant.kind, FromProto(proto.kind()));
  grant.attempt = proto.attempt();
  grant.job_id = proto.job_id();
  GPTVQ_ASSIGN_OR_RETURN(grant.spec, FromProto(proto.spec()));
  grant.layer_count = proto.layer_count();
  grant.layers = {proto.layers().begin(), proto.layers().end()};
  if (grant.layers.begin < 0 || grant.layers.end <= grant.layers.begin || grant.layers.end > grant.layer_count) {
    return Invalid("layers", "not a range of layers of the model");
  }
  if (proto.has_input_boundary()) {
    GPTVQ_ASSIGN_OR_RETURN(grant.input_boundary, FromProto(proto.input_boundary()));
  }
  grant.output_boundary_wanted = proto.output_boundary_wanted();
  for (const v1::PublishedLayer& layer : proto.published_layers()) {
    GPTVQ_ASSIGN_OR_RETURN(PublishedLayer published, FromProto(layer));
    grant.published_layers.push_back(std::move(published));
  }
  if (proto.has_checkpoint()) {
    GPTVQ_ASSIGN_OR_RETURN(grant.checkpoint, FromProto(proto.checkpoint()));
  }
  if (grant.kind == TaskKind::kEvaluate) {
    GPTVQ_ASSIGN_OR_RETURN(grant.target, FromProto(proto.evaluation_target()));
  }
  return grant;
}

}  // namespace gptvq
