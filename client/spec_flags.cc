#include "client/spec_flags.h"

#include "absl/strings/str_cat.h"
#include "client/terminal.h"
#include "core/base/status_macros.h"
#include "core/spec/presets.h"

namespace gptvq {
namespace {

template <typename T, typename U>
void Override(const std::optional<T>& flag, U& field) {
  if (flag.has_value()) field = *flag;
}

template <typename Enum>
absl::Status OverrideName(const char* flag_name, const std::optional<std::string>& flag,
                          std::optional<Enum> (*parse)(std::string_view), const char* allowed, Enum& field) {
  if (!flag.has_value()) return absl::OkStatus();
  const std::optional<Enum> value = parse(*flag);
  if (!value.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(flag_name, " is '", Printable(*flag, 64), "'; allowed: ", allowed));
  }
  field = *value;
  return absl::OkStatus();
}

// A knob of the other method would decide nothing; somebody who turns it expects that it does.
absl::Status RefuseIdleFlags(const SpecFlags& flags, QuantMethod method) {
  enum class Of { kVectors, kGrids };
  const struct {
    const char* flag;
    bool is_given;
    Of of;
  } knobs[] = {
      {"--vector-dim", flags.vector_dim.has_value(), Of::kVectors},
      {"--index-bits", flags.index_bits.has_value(), Of::kVectors},
      {"--group-weights", flags.group_weights.has_value(), Of::kVectors},
      {"--columns-per-group", flags.columns_per_group.has_value(), Of::kVectors},
      {"--codebook-dtype", flags.codebook_dtype.has_value(), Of::kVectors},
      {"--block-scale-columns", flags.block_scale_columns.has_value(), Of::kVectors},
      {"--svd-rank-fraction", flags.svd_rank_fraction.has_value(), Of::kVectors},
      {"--seeding", flags.seeding.has_value(), Of::kVectors},
      {"--em-iterations", flags.em_iterations.has_value(), Of::kVectors},
      {"--update-iterations", flags.update_iterations.has_value(), Of::kVectors},
      {"--refinement-passes", flags.refinement_passes.has_value(), Of::kVectors},
      {"--uniform-bits", flags.uniform_bits.has_value(), Of::kGrids},
      {"--uniform-group-columns", flags.uniform_group_columns.has_value(), Of::kGrids},
      {"--act-order", flags.act_order, Of::kGrids},
  };
  const Of used = method == QuantMethod::kGptvq ? Of::kVectors : Of::kGrids;
  for (const auto& knob : knobs) {
    if (!knob.is_given || knob.of == used) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(knob.flag, " has no effect with --preset ", flags.preset, "; it is for ",
                     knob.of == Of::kVectors ? "vector presets" : "the gptq and rtn presets"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QuantSpec> ResolveSpec(const SpecFlags& flags) {
  absl::StatusOr<QuantSpec> preset = FindPreset(flags.preset);
  if (!preset.ok()) return absl::InvalidArgumentError(absl::StrCat("--preset: ", preset.status().message()));
  QuantSpec spec = *preset;
  GPTVQ_RETURN_IF_ERROR(RefuseIdleFlags(flags, spec.method));
  Override(flags.vector_dim, spec.vector_dim);
  Override(flags.index_bits, spec.index_bits);
  Override(flags.group_weights, spec.group_weights);
  Override(flags.columns_per_group, spec.columns_per_group);
  Override(flags.block_scale_columns, spec.block_scale_columns);
  Override(flags.svd_rank_fraction, spec.svd_rank_fraction);
  Override(flags.em_iterations, spec.em_iterations);
  Override(flags.update_iterations, spec.update_iterations);
  Override(flags.refinement_passes, spec.refinement_passes);
  Override(flags.uniform_bits, spec.uniform_bits);
  Override(flags.uniform_group_columns, spec.uniform_group_columns);
  spec.act_order = spec.act_order || flags.act_order;
  GPTVQ_RETURN_IF_ERROR(
      OverrideName("--codebook-dtype", flags.codebook_dtype, ParseCodebookDType, "int8, fp16", spec.codebook_dtype));
  GPTVQ_RETURN_IF_ERROR(OverrideName("--seeding", flags.seeding, ParseSeeding, "mahalanobis, kmeans++", spec.seeding));
  GPTVQ_RETURN_IF_ERROR(
      OverrideName("--layer-order", flags.layer_order, ParseLayerOrder, "true-sequential, one-pass", spec.layer_order));
  GPTVQ_RETURN_IF_ERROR(
      OverrideName("--compat", flags.compat, ParseCompatibility, "none, reference", spec.compatibility));
  if (spec.compatibility == Compatibility::kReference) spec.damping = kReferenceDamping;
  Override(flags.damping, spec.damping);
  GPTVQ_RETURN_IF_ERROR(spec.Validate());
  return spec;
}

}  // namespace gptvq
