#ifndef GPTVQ_CORE_MODEL_MODEL_TENSORS_H_
#define GPTVQ_CORE_MODEL_MODEL_TENSORS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/base/matrix_view.h"
#include "core/format/checkpoint.h"
#include "core/model/linear_role.h"
#include "core/model/model_config.h"

namespace gptvq {

// The tensors of an architecture by Hugging Face's names. Pure functions.

inline constexpr std::string_view kEmbeddingTensor = "model.embed_tokens.weight";
inline constexpr std::string_view kFinalNormTensor = "model.norm.weight";

// The norms of a decoder layer. The last two exist with ModelConfig::has_head_norms only.
enum class LayerNorm { kAttention, kMlp, kQuery, kKey };

// "model.layers.3.input_layernorm.weight".
std::string NormTensor(int layer, LayerNorm norm);
// LinearPath + ".weight" and ".bias".
std::string WeightTensor(int layer, LinearRole role);
std::string BiasTensor(int layer, LinearRole role);

// The output embedding [vocab, hidden]: "lm_head.weight", or the input embedding where the two are tied.
std::string_view OutputHeadTensor(const ModelConfig& config);

struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  // Whether the tensor is the weight of a linear, which a quantized checkpoint holds in another form.
  bool is_linear_weight = false;
};

// All tensors of one layer, and those outside of layers: embedding, final norm, output head where it is not tied.
std::vector<ExpectedTensor> LayerTensors(const ModelConfig& config, int layer);
std::vector<ExpectedTensor> OuterTensors(const ModelConfig& config);

// Which of the tensors a check covers.
enum class TensorScope { kAll, kAllButLinearWeights };

// Checks that every tensor of the architecture is in the checkpoint, in a floating-point dtype and with the right
// shape. Errors: InvalidArgument listing the missing tensors, or else naming tensor, shape found and shape asked for
// by the config. Lists are cut after a dozen entries.
absl::Status CheckTensors(const ModelConfig& config, const Checkpoint& checkpoint, TensorScope scope);

// Reads one tensor into values_out, [rows, cols] of a matrix or [1, n] of a vector, in host memory.
// Errors: NotFound; InvalidArgument when its shape is not `expected.shape`, naming both, or when a value is NaN or
// infinite, naming how many; those of Checkpoint. Precondition: values_out has as many elements as the expected shape.
absl::Status ReadTensor(const Checkpoint& checkpoint, const ExpectedTensor& expected, MatrixView<float> values_out);

// What ReadTensor says when `not_finite` of a tensor's values are NaN or infinite, for those who read it otherwise.
absl::Status CheckAllFinite(const TensorInfo& tensor, std::int64_t not_finite);

// Names in the checkpoint that the architecture does not read, in byte order: carried along, and worth a warning. The
// output head of a model with tied embeddings is one of them.
std::vector<std::string> UnusedTensors(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_MODEL_TENSORS_H_
