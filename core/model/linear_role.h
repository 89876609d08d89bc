#ifndef GPTVQ_CORE_MODEL_LINEAR_ROLE_H_
#define GPTVQ_CORE_MODEL_LINEAR_ROLE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "core/model/model_config.h"

namespace gptvq {

// The seven linears of a decoder layer, in the order in which they are calibrated and quantized.
enum class LinearRole { kQ, kK, kV, kO, kGate, kUp, kDown };

inline constexpr std::array kLinearRoles = {LinearRole::kQ,    LinearRole::kK,  LinearRole::kV,   LinearRole::kO,
                                            LinearRole::kGate, LinearRole::kUp, LinearRole::kDown};

// The four places of a decoder layer where linears read: linears with the same input share its Hessian.
enum class LayerInput {
  kAttention,        // behind the first norm: read by q, k, v
  kAttentionOutput,  // the heads' results, before o: read by o
  kMlp,              // behind the second norm: read by gate, up
  kMlpProduct,       // silu(gate) * up: read by down
};

inline constexpr std::array kLayerInputs = {LayerInput::kAttention, LayerInput::kAttentionOutput, LayerInput::kMlp,
                                            LayerInput::kMlpProduct};

// The linears that read at `input`, in the order of LinearRole.
absl::Span<const LinearRole> LinearsAt(LayerInput input);

// "self_attn.q_proj": the linear's name within its layer.
std::string_view LinearName(LinearRole role);

// "q", "k", "v", "o", "gate", "up", "down".
std::string_view Name(LinearRole role);

// The role of a linear called `path`, which ends in a LinearName; nullopt for other names.
std::optional<LinearRole> RoleOf(std::string_view path);

// "model.layers.3.self_attn.q_proj".
std::string LinearPath(int layer, LinearRole role);

struct LinearShape {
  std::int64_t rows = 0;  // outputs
  std::int64_t cols = 0;  // inputs
  friend bool operator==(const LinearShape&, const LinearShape&) = default;
};

LinearShape ShapeOf(const ModelConfig& config, LinearRole role);

// Whether the linear has a bias in this model.
bool HasBias(const ModelConfig& config, LinearRole role);

// Width of the rows at `input`.
std::int64_t InputWidth(const ModelConfig& config, LayerInput input);

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_LINEAR_ROLE_H_
