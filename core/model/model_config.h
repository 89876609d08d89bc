#ifndef GPTVQ_CORE_MODEL_MODEL_CONFIG_H_
#define GPTVQ_CORE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/dtype.h"
#include "core/base/file.h"

namespace gptvq {

// Decoder-only transformers of one shape: RMS norms in front of attention and MLP, rotary positions, grouped-query
// causal attention, SwiGLU. The families differ in where biases and norms sit.
enum class ModelFamily {
  kLlama,    // Llama 1, 2, 3, 3.x and SmolLM2
  kMistral,  // sliding window in every layer, if any
  kQwen2,    // Qwen2 and 2.5: biases on q, k and v
  kQwen3,    // dense Qwen3: norms on the heads of q and k
};

// How rotary frequencies are changed for contexts longer than those of pre-training (core/model/rotary.h has the
// formulas).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kDynamic, kLlama3, kYarn };

  Kind kind = Kind::kNone;
  double factor = 1;                    // not kNone; >= 1
  std::int64_t original_positions = 0;  // kLlama3, kYarn: context of pre-training
  double low_freq_factor = 0;           // kLlama3
  double high_freq_factor = 0;          // kLlama3; > low_freq_factor
  double attention_factor = 1;          // kYarn: multiplies cosines and sines
  double beta_fast = 0;                 // kYarn; rotations within the original context
  double beta_slow = 0;                 // kYarn; < beta_fast
};

// A model's config.json as far as the forward pass depends on it. Plain value; as returned by the readers below every
// field is within the limits stated there.
struct ModelConfig {
  ModelFamily family = ModelFamily::kLlama;

  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;  // of the MLP
  std::int64_t vocab_size = 0;         // rows of the embedding
  int layer_count = 0;
  int head_count = 0;     // of queries
  int kv_head_count = 0;  // divides head_count
  int head_dim = 0;       // even; head_count * head_dim need not be hidden_size
  std::int64_t max_positions = 0;

  double rms_norm_epsilon = 0;
  double rope_theta = 0;
  RopeScaling rope_scaling;
  std::vector<std::int64_t> sliding_windows;  // one per layer; 0: attends to all earlier positions

  bool has_qkv_bias = false;
  bool has_output_bias = false;      // of o
  bool has_mlp_bias = false;         // of gate, up and down
  bool has_head_norms = false;       // RMS norms of q and k, head by head
  bool has_tied_embeddings = false;  // the output head is the embedding

  std::optional<DType> dtype;  // torch_dtype: kF32, kF16 or kBf16; that of the tensors themselves decides what is read
  std::string quant_method;    // of quantization_config: empty or "gptvq"

  std::int64_t query_width() const { return std::int64_t{head_count} * head_dim; }
  std::int64_t kv_width() const { return std::int64_t{kv_head_count} * head_dim; }
};

// The largest values accepted, above those of any known model; they keep every product of two within 64 bits.
inline constexpr std::int64_t kMaxHiddenSize = 1 << 17;
inline constexpr std::int64_t kMaxIntermediateSize = 1 << 20;
inline constexpr std::int64_t kMaxVocabSize = 1 << 22;
inline constexpr std::int64_t kMaxLayers = 1024;
inline constexpr std::int64_t kMaxHeads = 1024;
inline constexpr std::int64_t kMaxHeadDim = 1024;
inline constexpr std::int64_t kMaxPositions = std::int64_t{1} << 26;
inline constexpr double kMaxRopeTheta = 1e12;
inline constexpr double kMaxRopeFactor = 1e4;

// Reads the text of a config.json. Every key must be known: a key either changes the forward pass the way this project
// computes it, or is known not to change it, or is null. Code that a model brings along (auto_map) is refused, never
// run. Where a key is absent the default of Hugging Face's class for the family holds; sizes have no default.
// Errors: InvalidArgument, one message that names every key that is missing, malformed, out of range or not supported,
// with its value; also for a text over 1 MiB or nested deeper than 32 levels.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text);

// The same for the file config.json of a directory. Errors: also NotFound when there is none; those of reading.
absl::StatusOr<ModelConfig> ReadModelConfig(const ReadableDirectory& directory);

inline constexpr std::string_view kModelConfigFile = "config.json";

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_MODEL_CONFIG_H_
