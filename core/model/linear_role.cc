#include "core/model/linear_role.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace gptvq {

absl::Span<const LinearRole> LinearsAt(LayerInput input) {
  const absl::Span<const LinearRole> roles(kLinearRoles);
  switch (input) {
    case LayerInput::kAttention: return roles.subspan(0, 3);
    case LayerInput::kAttentionOutput: return roles.subspan(3, 1);
    case LayerInput::kMlp: return roles.subspan(4, 2);
    case LayerInput::kMlpProduct: return roles.subspan(6, 1);
  }
  GPTVQ_CHECK(false);
  return {};
}

std::string_view LinearName(LinearRole role) {
  switch (role) {
    case LinearRole::kQ: return "self_attn.q_proj";
    case LinearRole::kK: return "self_attn.k_proj";
    case LinearRole::kV: return "self_attn.v_proj";
    case LinearRole::kO: return "self_attn.o_proj";
    case LinearRole::kGate: return "mlp.gate_proj";
    case LinearRole::kUp: return "mlp.up_proj";
    case LinearRole::kDown: return "mlp.down_proj";
  }
  GPTVQ_CHECK(false);
  return {};
}

std::string_view Name(LinearRole role) {
  std::string_view name = LinearName(role);
  name.remove_prefix(name.find('.') + 1);
  return name.substr(0, name.find('_'));
}

std::optional<LinearRole> RoleOf(std::string_view path) {
  for (const LinearRole role : kLinearRoles) {
    if (path == LinearName(role) || path.ends_with(absl::StrCat(".", std::string(LinearName(role))))) return role;
  }
  return std::nullopt;
}

std::string LinearPath(int layer, LinearRole role) {
  return absl::StrCat("model.layers.", layer, ".", std::string(LinearName(role)));
}

LinearShape ShapeOf(const ModelConfig& config, LinearRole role) {
  switch (role) {
    case LinearRole::kQ: return {config.query_width(), config.hidden_size};
    case LinearRole::kK:
    case LinearRole::kV: return {config.kv_width(), config.hidden_size};
    case LinearRole::kO: return {config.hidden_size, config.query_width()};
    case LinearRole::kGate:
    case LinearRole::kUp: return {config.intermediate_size, config.hidden_size};
    case LinearRole::kDown: return {config.hidden_size, config.intermediate_size};
  }
  GPTVQ_CHECK(false);
  return {};
}

bool HasBias(const ModelConfig& config, LinearRole role) {
  switch (role) {
    case LinearRole::kQ:
    case LinearRole::kK:
    case LinearRole::kV: return config.has_qkv_bias;
    case LinearRole::kO: return config.has_output_bias;
    case LinearRole::kGate:
    case LinearRole::kUp:
    case LinearRole::kDown: return config.has_mlp_bias;
  }
  GPTVQ_CHECK(false);
  return false;
}

std::int64_t InputWidth(const ModelConfig& config, LayerInput input) {
  return ShapeOf(config, LinearsAt(input).front()).cols;
}

}  // namespace gptvq
