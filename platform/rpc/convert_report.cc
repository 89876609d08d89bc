#include "platform/rpc/convert_report.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/status_macros.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_job.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {

// Not in the unnamed namespace: EnumFromProto finds it by its argument.
static v1::HessianPolicy ToProto(HessianPolicy policy) {
  switch (policy) {
    case HessianPolicy::kFull: return v1::HESSIAN_POLICY_FULL;
    case HessianPolicy::kDiagonalOnly: return v1::HESSIAN_POLICY_DIAGONAL_ONLY;
  }
  return v1::HESSIAN_POLICY_UNSPECIFIED;
}

namespace {

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return Refuse(ErrorReason::kInvalidField, absl::StrCat(field, ": ", why));
}

constexpr std::array kHessianPolicies = {HessianPolicy::kFull, HessianPolicy::kDiagonalOnly};

v1::LinearSeconds ToProto(const PhaseSeconds& seconds) {
  v1::LinearSeconds proto;
  proto.set_factor(seconds.factor);
  proto.set_clustering(seconds.clustering);
  proto.set_sweep(seconds.sweep);
  proto.set_update(seconds.update);
  proto.set_refinement(seconds.refinement);
  return proto;
}

BitCount FromProto(const v1::BitCount& proto) {
  return {.weights = proto.weights(),
          .index_bits = proto.index_bits(),
          .codebook_bits = proto.codebook_bits(),
          .codebook_scale_bits = proto.codebook_scale_bits(),
          .block_scale_bits = proto.block_scale_bits(),
          .permutation_bits = proto.permutation_bits()};
}

absl::Status CheckNumbers(const v1::LinearReport& proto) {
  const v1::BitCount& bits = proto.bits();
  const std::array<std::int64_t, 12> counts = {proto.rows(),
                                               proto.cols(),
                                               proto.dead_columns(),
                                               proto.em_iterations(),
                                               proto.update_iterations(),
                                               proto.refinement_passes(),
                                               bits.weights(),
                                               bits.index_bits(),
                                               bits.codebook_bits(),
                                               bits.codebook_scale_bits(),
                                               bits.block_scale_bits(),
                                               bits.permutation_bits()};
  if (std::any_of(counts.begin(), counts.end(), [](std::int64_t count) { return count < 0; })) {
    return Invalid(proto.name(), "a count is negative");
  }
  const v1::LinearSeconds& seconds = proto.seconds();
  const std::array<double, 8> reals = {proto.relative_error(), proto.sweep_relative_error(), proto.damping(),
                                       seconds.factor(),       seconds.clustering(),         seconds.sweep(),
                                       seconds.update(),       seconds.refinement()};
  if (!std::all_of(reals.begin(), reals.end(), [](double real) { return std::isfinite(real); })) {
    return Invalid(proto.name(), "a number is not finite");
  }
  return absl::OkStatus();
}

}  // namespace

v1::BitCount ToProto(const BitCount& bits) {
  v1::BitCount proto;
  proto.set_weights(bits.weights);
  proto.set_index_bits(bits.index_bits);
  proto.set_codebook_bits(bits.codebook_bits);
  proto.set_codebook_scale_bits(bits.codebook_scale_bits);
  proto.set_block_scale_bits(bits.block_scale_bits);
  proto.set_permutation_bits(bits.permutation_bits);
  return proto;
}

v1::LinearReport ToProto(const LinearReport& linear) {
  v1::LinearReport proto;
  proto.set_name(linear.name);
  proto.set_rows(linear.rows);
  proto.set_cols(linear.cols);
  *proto.mutable_bits() = ToProto(linear.bits);
  proto.set_relative_error(linear.relative_error);
  proto.set_sweep_relative_error(linear.sweep_relative_error);
  proto.set_damping(linear.damping);
  proto.set_hessian_policy(ToProto(linear.hessian_policy));
  proto.set_dead_columns(linear.dead_columns);
  proto.set_em_iterations(linear.em_iterations);
  proto.set_update_iterations(linear.update_iterations);
  proto.set_refinement_passes(linear.refinement_passes);
  *proto.mutable_seconds() = ToProto(linear.seconds);
  return proto;
}

absl::StatusOr<LinearReport> FromProto(const v1::LinearReport& proto) {
  if (proto.name().empty() || proto.name().size() > kMaxLinearNameBytes) {
    return Invalid("linears.name", "empty or longer than 256 bytes");
  }
  GPTVQ_RETURN_IF_ERROR(CheckNumbers(proto));
  LinearReport linear;
  linear.name = proto.name();
  linear.rows = proto.rows();
  linear.cols = proto.cols();
  linear.bits = FromProto(proto.bits());
  linear.relative_error = proto.relative_error();
  linear.sweep_relative_error = proto.sweep_relative_error();
  linear.damping = proto.damping();
  GPTVQ_ASSIGN_OR_RETURN(linear.hessian_policy,
                         EnumFromProto(kHessianPolicies, proto.hessian_policy(), "hessian_policy"));
  linear.dead_columns = proto.dead_columns();
  linear.em_iterations = proto.em_iterations();
  linear.update_iterations = proto.update_iterations();
  linear.refinement_passes = proto.refinement_passes();
  linear.seconds = {.factor = proto.seconds().factor(),
                    .clustering = proto.seconds().clustering(),
                    .sweep = proto.seconds().sweep(),
                    .update = proto.seconds().update(),
                    .refinement = proto.seconds().refinement()};
  return linear;
}

v1::PublishedLayer ToProto(const PublishedLayer& layer) {
  v1::PublishedLayer proto;
  proto.set_layer(layer.layer);
  *proto.mutable_artifact() = ToProto(layer.artifact);
  for (const LinearReport& linear : layer.linears) *proto.add_linears() = ToProto(linear);
  return proto;
}

absl::StatusOr<PublishedLayer> FromProto(const v1::PublishedLayer& proto) {
  PublishedLayer layer;
  if (proto.layer() < 0) return Invalid("layer", "is negative");
  if (proto.linears_size() > kMaxLinearsPerLayer) return Invalid("linears", "more than 64");
  layer.layer = proto.layer();
  GPTVQ_ASSIGN_OR_RETURN(layer.artifact, FromProto(proto.artifact()));
  for (const v1::LinearReport& linear : proto.linears()) {
    GPTVQ_ASSIGN_OR_RETURN(LinearReport report, FromProto(linear));
    layer.linears.push_back(std::move(report));
  }
  return layer;
}

v1::TaskCheckpoint ToProto(const TaskCheckpoint& checkpoint) {
  v1::TaskCheckpoint proto;
  proto.set_layer(checkpoint.layer);
  proto.set_sequence(checkpoint.sequence);
  *proto.mutable_artifact() = ToProto(checkpoint.artifact);
  for (const LinearReport& linear : checkpoint.linears) *proto.add_linears() = ToProto(linear);
  return proto;
}

absl::StatusOr<TaskCheckpoint> FromProto(const v1::TaskCheckpoint& proto) {
  if (proto.layer() < 0) return Invalid("checkpoint.layer", "is negative");
  if (proto.sequence() <= 0) return Invalid("checkpoint.sequence", "not positive");
  if (proto.linears_size() < 1 || proto.linears_size() > kMaxLinearsPerLayer) {
    return Invalid("checkpoint.linears", "not between 1 and 64");
  }
  TaskCheckpoint checkpoint{.layer = proto.layer(), .sequence = proto.sequence(), .artifact = {}, .linears = {}};
  GPTVQ_ASSIGN_OR_RETURN(checkpoint.artifact, FromProto(proto.artifact()));
  for (const v1::LinearReport& linear : proto.linears()) {
    GPTVQ_ASSIGN_OR_RETURN(LinearReport report, FromProto(linear));
    checkpoint.linears.push_back(std::move(report));
  }
  return checkpoint;
}

v1::Report ToProto(const Report& report) {
  v1::Report proto;
  proto.set_job_id(report.job_id);
  proto.set_state(ToProto(report.state));
  *proto.mutable_spec() = ToProto(report.spec);
  *proto.mutable_bits() = ToProto(report.bits);
  if (report.bits.weights > 0) proto.set_bits_per_value(report.bits.bits_per_value());
  proto.set_output_bytes(report.output_bytes);
  if (report.manifest) proto.set_manifest_sha256_hex(report.manifest->hex());
  for (const TaskPhaseSeconds& entry : report.seconds) {
    v1::TaskPhaseSeconds* added = proto.add_seconds();
    added->set_phase(ToProto(entry.phase));
    added->set_seconds(entry.seconds);
  }
  *proto.mutable_wall_time() = ToProto(report.wall_time);
  if (report.source_perplexity) proto.mutable_perplexity()->set_source(*report.source_perplexity);
  if (report.quantized_perplexity) proto.mutable_perplexity()->set_quantized(*report.quantized_perplexity);
  if (report.evaluated_tokens > 0) proto.mutable_perplexity()->set_token_count(report.evaluated_tokens);
  for (const LinearReport& linear : report.linears) *proto.add_linears() = ToProto(linear);
  proto.set_numerics_class(report.numerics_class);
  for (const auto& [outcome, count] : report.audits) {
    v1::AuditCount* added = proto.add_audits();
    added->set_outcome(ToProto(outcome));
    added->set_count(count);
  }
  return proto;
}

absl::StatusOr<Report> FromProto(const v1::Report& proto) {
  Report report;
  report.job_id = proto.job_id();
  GPTVQ_ASSIGN_OR_RETURN(report.state, FromProto(proto.state()));
  GPTVQ_ASSIGN_OR_RETURN(report.spec, FromProto(proto.spec()));
  report.bits = FromProto(proto.bits());
  report.output_bytes = proto.output_bytes();
  if (!proto.manifest_sha256_hex().empty()) {
    GPTVQ_ASSIGN_OR_RETURN(report.manifest, Digest::FromHex(proto.manifest_sha256_hex(), 0));
  }
  for (const v1::TaskPhaseSeconds& entry : proto.seconds()) {
    GPTVQ_ASSIGN_OR_RETURN(const TaskPhase phase, EnumFromProto(kAllTaskPhases, entry.phase(), "seconds.phase"));
    report.seconds.push_back({phase, entry.seconds()});
  }
  report.wall_time = FromProto(proto.wall_time());
  if (proto.perplexity().has_source()) report.source_perplexity = proto.perplexity().source();
  if (proto.perplexity().has_quantized()) report.quantized_perplexity = proto.perplexity().quantized();
  report.evaluated_tokens = proto.perplexity().token_count();
  for (const v1::LinearReport& linear : proto.linears()) {
    GPTVQ_ASSIGN_OR_RETURN(LinearReport converted, FromProto(linear));
    report.linears.push_back(std::move(converted));
  }
  report.numerics_class = proto.numerics_class();
  for (const v1::AuditCount& entry : proto.audits()) {
    GPTVQ_ASSIGN_OR_RETURN(const AuditOutcome outcome, FromProto(entry.outcome()));
    if (entry.count() <= 0) return Invalid("audits.count", "is not positive");
    report.audits[outcome] += entry.count();
  }
  return report;
}

}  // namespace gptvq
