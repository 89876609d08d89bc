// Any text as a model's config.json: refused with a message of bounded size, or within every limit that the header
// states, so that the sizes and frequencies that follow from it are sound.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/model/model_config.h"
#include "core/model/model_tensors.h"
#include "core/model/rotary.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsWithin(std::int64_t value, std::int64_t min, std::int64_t max) { return value >= min && value <= max; }

void RequireLimits(const gptvq::ModelConfig& config) {
  Require(IsWithin(config.hidden_size, 1, gptvq::kMaxHiddenSize));
  Require(IsWithin(config.intermediate_size, 1, gptvq::kMaxIntermediateSize));
  Require(IsWithin(config.vocab_size, 1, gptvq::kMaxVocabSize));
  Require(IsWithin(config.layer_count, 1, gptvq::kMaxLayers));
  Require(IsWithin(config.head_count, 1, gptvq::kMaxHeads));
  Require(IsWithin(config.kv_head_count, 1, config.head_count) && config.head_count % config.kv_head_count == 0);
  Require(IsWithin(config.head_dim, 2, gptvq::kMaxHeadDim) && config.head_dim % 2 == 0);
  Require(IsWithin(config.max_positions, 1, gptvq::kMaxPositions));
  Require(config.rms_norm_epsilon > 0 && config.rms_norm_epsilon < 1);
  Require(config.sliding_windows.size() == static_cast<std::size_t>(config.layer_count));
  for (std::int64_t window : config.sliding_windows) Require(IsWithin(window, 0, gptvq::kMaxPositions));
  Require(std::isfinite(config.rope_scaling.attention_factor) && config.rope_scaling.attention_factor > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = gptvq::ParseModelConfig(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!config.ok()) {
    Require(config.status().message().size() < 10'000);
    return 0;
  }
  RequireLimits(*config);
  for (double frequency : gptvq::RotaryFrequencies(*config)) Require(frequency > 0 && frequency <= 1);
  for (const auto& tensor : gptvq::LayerTensors(*config, config->layer_count - 1)) {
    for (std::int64_t side : tensor.shape) Require(side > 0);
  }
  return 0;
}
