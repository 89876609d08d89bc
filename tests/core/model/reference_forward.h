#ifndef GPTVQ_TESTS_CORE_MODEL_REFERENCE_FORWARD_H_
#define GPTVQ_TESTS_CORE_MODEL_REFERENCE_FORWARD_H_

#include <array>
#include <cstdint>
#include <vector>

#include "core/model/model_config.h"
#include "tests/core/model/random_checkpoint.h"

namespace gptvq {

// The forward pass in f64, one sequence at a time, written from the formulas with loops and nothing else: what the
// tests hold core/model to. Rotary frequencies are theta^(-2i/d): no scaling.

using Rows = std::vector<std::vector<double>>;  // [tokens][width]

struct ReferenceLayerResult {
  std::array<Rows, 4> inputs;  // in order of LayerInput
  Rows output;
};

ReferenceLayerResult ReferenceLayer(const ModelConfig& config, const Tensors& tensors, int layer, const Rows& x);

Rows ReferenceEmbedding(const ModelConfig& config, const Tensors& tensors, const std::vector<std::int32_t>& ids);

// -ln p of ids[1], ids[2], ..., each from the ids before it.
std::vector<double> ReferenceNll(const ModelConfig& config, const Tensors& tensors,
                                 const std::vector<std::int32_t>& ids);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_MODEL_REFERENCE_FORWARD_H_
