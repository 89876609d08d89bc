#ifndef GPTVQ_TESTS_SUPPORT_TINY_MODEL_H_
#define GPTVQ_TESTS_SUPPORT_TINY_MODEL_H_

#include <cstdint>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/file.h"

namespace gptvq {

// A random Llama of a few thousand weights, for tests that need a whole model directory: config.json and
// model.safetensors, weights from Philox(seed), no tokenizer.
struct TinyModel {
  int layer_count = 4;
  int hidden_size = 64;
  int intermediate_size = 96;
  int head_count = 4;
  int kv_head_count = 2;
  int vocab_size = 128;
  int max_positions = 256;
  std::uint64_t seed = 1;
  DType dtype = DType::kF32;  // of all tensors
};

// Writes the files; fails the test's process when the directory does not take them.
void WriteTinyModel(const TinyModel& model, WritableDirectory& directory);

// `count` token ids below the vocabulary size, from Philox(seed).
std::vector<std::int32_t> RandomTokens(const TinyModel& model, std::int64_t count, std::uint64_t seed);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_TINY_MODEL_H_
