#include "platform/rpc/convert_spec.h"

#include <array>

#include "core/base/status_macros.h"
#include "core/spec/presets.h"
#include "platform/rpc/convert_enum.h"

namespace gptvq {

// Not in the unnamed namespace: EnumFromProto finds them by their argument.
static v1::QuantMethod ToProto(QuantMethod value) {
  switch (value) {
    case QuantMethod::kGptvq: return v1::QUANT_METHOD_GPTVQ;
    case QuantMethod::kGptq: return v1::QUANT_METHOD_GPTQ;
    case QuantMethod::kRtn: return v1::QUANT_METHOD_RTN;
  }
  return v1::QUANT_METHOD_UNSPECIFIED;
}

static v1::CodebookDType ToProto(CodebookDType value) {
  switch (value) {
    case CodebookDType::kInt8: return v1::CODEBOOK_DTYPE_INT8;
    case CodebookDType::kFp16: return v1::CODEBOOK_DTYPE_FP16;
  }
  return v1::CODEBOOK_DTYPE_UNSPECIFIED;
}

static v1::Seeding ToProto(Seeding value) {
  switch (value) {
    case Seeding::kMahalanobis: return v1::SEEDING_MAHALANOBIS;
    case Seeding::kKMeansPlusPlus: return v1::SEEDING_K_MEANS_PLUS_PLUS;
  }
  return v1::SEEDING_UNSPECIFIED;
}

static v1::LayerOrder ToProto(LayerOrder value) {
  switch (value) {
    case LayerOrder::kTrueSequential: return v1::LAYER_ORDER_TRUE_SEQUENTIAL;
    case LayerOrder::kOnePass: return v1::LAYER_ORDER_ONE_PASS;
  }
  return v1::LAYER_ORDER_UNSPECIFIED;
}

static v1::Compatibility ToProto(Compatibility value) {
  switch (value) {
    case Compatibility::kNone: return v1::COMPATIBILITY_NONE;
    case Compatibility::kReference: return v1::COMPATIBILITY_REFERENCE;
  }
  return v1::COMPATIBILITY_UNSPECIFIED;
}

namespace {

constexpr std::array kQuantMethods = {QuantMethod::kGptvq, QuantMethod::kGptq, QuantMethod::kRtn};
constexpr std::array kCodebookDTypes = {CodebookDType::kInt8, CodebookDType::kFp16};
constexpr std::array kSeedings = {Seeding::kMahalanobis, Seeding::kKMeansPlusPlus};
constexpr std::array kLayerOrders = {LayerOrder::kTrueSequential, LayerOrder::kOnePass};
constexpr std::array kCompatibilities = {Compatibility::kNone, Compatibility::kReference};
constexpr std::array kPropagationModes = {PropagationMode::kSequential, PropagationMode::kParallel};

// Replaces `value` if the field is given; UNSPECIFIED leaves what the preset says.
template <typename Enums, typename Proto, typename Enum>
absl::Status OverrideEnum(const Enums& all, Proto proto, std::string_view field, Enum& value) {
  if (proto == Proto{}) return absl::OkStatus();
  GPTVQ_ASSIGN_OR_RETURN(value, EnumFromProto(all, proto, field));
  return absl::OkStatus();
}

absl::Status OverrideEnums(const v1::QuantSpec& proto, QuantSpec& spec) {
  GPTVQ_RETURN_IF_ERROR(OverrideEnum(kQuantMethods, proto.method(), "method", spec.method));
  GPTVQ_RETURN_IF_ERROR(OverrideEnum(kCodebookDTypes, proto.codebook_dtype(), "codebook_dtype", spec.codebook_dtype));
  GPTVQ_RETURN_IF_ERROR(OverrideEnum(kSeedings, proto.seeding(), "seeding", spec.seeding));
  GPTVQ_RETURN_IF_ERROR(OverrideEnum(kLayerOrders, proto.layer_order(), "layer_order", spec.layer_order));
  return OverrideEnum(kCompatibilities, proto.compatibility(), "compatibility", spec.compatibility);
}

void OverrideNumbers(const v1::QuantSpec& proto, QuantSpec& spec) {
  if (proto.has_vector_dim()) spec.vector_dim = proto.vector_dim();
  if (proto.has_index_bits()) spec.index_bits = proto.index_bits();
  if (proto.has_group_weights()) spec.group_weights = proto.group_weights();
  if (proto.has_columns_per_group()) spec.columns_per_group = proto.columns_per_group();
  if (proto.has_block_scale_columns()) spec.block_scale_columns = proto.block_scale_columns();
  if (proto.has_svd_rank_fraction()) spec.svd_rank_fraction = proto.svd_rank_fraction();
  if (proto.has_em_iterations()) spec.em_iterations = proto.em_iterations();
  if (proto.has_update_iterations()) spec.update_iterations = proto.update_iterations();
  if (proto.has_refinement_passes()) spec.refinement_passes = proto.refinement_passes();
  if (proto.has_uniform_bits()) spec.uniform_bits = proto.uniform_bits();
  if (proto.has_uniform_group_columns()) spec.uniform_group_columns = proto.uniform_group_columns();
  if (proto.has_act_order()) spec.act_order = proto.act_order();
  if (proto.has_damping()) spec.damping = proto.damping();
}

}  // namespace

v1::PropagationMode ToProto(PropagationMode mode) {
  switch (mode) {
    case PropagationMode::kSequential: return v1::PROPAGATION_MODE_SEQUENTIAL;
    case PropagationMode::kParallel: return v1::PROPAGATION_MODE_PARALLEL;
  }
  return v1::PROPAGATION_MODE_UNSPECIFIED;
}

v1::QuantSpec ToProto(const NamedQuantSpec& named) {
  const QuantSpec& spec = named.spec;
  v1::QuantSpec proto;
  proto.set_preset(named.preset);
  proto.set_method(ToProto(spec.method));
  proto.set_vector_dim(spec.vector_dim);
  proto.set_index_bits(spec.index_bits);
  proto.set_group_weights(spec.group_weights);
  proto.set_columns_per_group(spec.columns_per_group);
  proto.set_codebook_dtype(ToProto(spec.codebook_dtype));
  proto.set_block_scale_columns(spec.block_scale_columns);
  proto.set_svd_rank_fraction(spec.svd_rank_fraction);
  proto.set_seeding(ToProto(spec.seeding));
  proto.set_em_iterations(spec.em_iterations);
  proto.set_update_iterations(spec.update_iterations);
  proto.set_refinement_passes(spec.refinement_passes);
  proto.set_uniform_bits(spec.uniform_bits);
  proto.set_uniform_group_columns(spec.uniform_group_columns);
  proto.set_act_order(spec.act_order);
  proto.set_damping(spec.damping);
  proto.set_layer_order(ToProto(spec.layer_order));
  proto.set_compatibility(ToProto(spec.compatibility));
  return proto;
}

absl::StatusOr<NamedQuantSpec> FromProto(const v1::QuantSpec& proto) {
  NamedQuantSpec named = {.preset = proto.preset(), .spec = {}};
  if (!named.preset.empty()) {
    auto preset = FindPreset(named.preset);
    if (!preset.ok()) return Refuse(ErrorReason::kInvalidField, absl::StrCat("preset: ", preset.status().message()));
    named.spec = *preset;
  }
  GPTVQ_RETURN_IF_ERROR(OverrideEnums(proto, named.spec));
  OverrideNumbers(proto, named.spec);
  return named;
}

v1::JobSpec ToProto(const JobSpec& spec) {
  v1::JobSpec proto;
  proto.set_model_uri(spec.model_uri);
  for (const std::string& uri : spec.calibration_uris) proto.add_calibration_uris(uri);
  proto.set_evaluation_uri(spec.evaluation_uri);
  proto.set_output_uri(spec.output_uri);
  *proto.mutable_quant() = ToProto(NamedQuantSpec{spec.preset, spec.quant});
  proto.set_propagation(ToProto(spec.propagation));
  proto.set_shard_layers(spec.shard_layers);
  proto.set_samples(spec.samples);
  proto.set_sequence_length(spec.sequence_length);
  proto.set_seed(spec.seed);
  proto.set_evaluation_tokens(spec.evaluation_tokens);
  return proto;
}

absl::StatusOr<JobSpec> FromProto(const v1::JobSpec& proto) {
  GPTVQ_ASSIGN_OR_RETURN(NamedQuantSpec named, FromProto(proto.quant()));
  JobSpec spec;
  spec.model_uri = proto.model_uri();
  spec.calibration_uris.assign(proto.calibration_uris().begin(), proto.calibration_uris().end());
  spec.evaluation_uri = proto.evaluation_uri();
  spec.output_uri = proto.output_uri();
  spec.preset = std::move(named.preset);
  spec.quant = named.spec;
  GPTVQ_ASSIGN_OR_RETURN(spec.propagation, EnumFromProto(kPropagationModes, proto.propagation(), "propagation"));
  spec.shard_layers = proto.shard_layers();
  spec.samples = proto.samples();
  spec.sequence_length = proto.sequence_length();
  spec.seed = proto.seed();
  spec.evaluation_tokens = proto.evaluation_tokens();
  const absl::Status valid = spec.Validate();
  if (!valid.ok()) {
    const absl::string_view message = valid.message();
    return Refuse(ErrorReason::kInvalidField, std::string_view(message.data(), message.size()));
  }
  return spec;
}

}  // namespace gptvq
