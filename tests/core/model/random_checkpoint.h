#ifndef GPTVQ_TESTS_CORE_MODEL_RANDOM_CHECKPOINT_H_
#define GPTVQ_TESTS_CORE_MODEL_RANDOM_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/checkpoint.h"
#include "core/model/model_config.h"

namespace gptvq {

// A small configuration with everything a family can have: grouped queries, and its biases and norms. 3 layers.
ModelConfig TinyConfig(ModelFamily family);

// The tensors of a model by name, in f32.
using Tensors = std::map<std::string, std::vector<float>>;

// Random tensors of every shape the configuration asks for; wide enough that attention is far from uniform.
Tensors RandomTensors(const ModelConfig& config, std::uint64_t seed);

// A checkpoint in memory that holds `tensors`, as F32, with the shapes of the configuration; a tensor it does not name
// is a vector. Owns everything.
class MemoryCheckpoint {
 public:
  MemoryCheckpoint(const ModelConfig& config, const Tensors& tensors);

  const Checkpoint& get() const { return *checkpoint_; }

 private:
  MemoryDirectory directory_{"tiny"};
  std::unique_ptr<Checkpoint> checkpoint_;
};

// Random ids below the vocabulary.
std::vector<std::int32_t> RandomIds(const ModelConfig& config, std::int64_t count, std::uint64_t seed);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_MODEL_RANDOM_CHECKPOINT_H_
