#include "tests/core/model/random_checkpoint.h"

#include <cmath>
#include <utility>

#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/format/safetensors_writer.h"
#include "core/model/model_tensors.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

std::vector<ExpectedTensor> AllTensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> all = OuterTensors(config);
  for (int layer = 0; layer < config.layer_count; ++layer) {
    for (ExpectedTensor& tensor : LayerTensors(config, layer)) all.push_back(std::move(tensor));
  }
  return all;
}

}  // namespace

ModelConfig TinyConfig(ModelFamily family) {
  ModelConfig config;
  config.family = family;
  config.hidden_size = 40;
  config.intermediate_size = 72;
  config.vocab_size = 211;
  config.layer_count = 3;
  config.head_count = 6;
  config.kv_head_count = 2;
  config.head_dim = 8;
  config.max_positions = 4096;
  config.rms_norm_epsilon = 1e-5;
  config.rope_theta = 10000;
  const bool is_mistral = family == ModelFamily::kMistral;
  config.sliding_windows = is_mistral ? std::vector<std::int64_t>{5, 5, 5} : std::vector<std::int64_t>{0, 0, 0};
  config.has_qkv_bias = family == ModelFamily::kLlama || family == ModelFamily::kQwen2;
  config.has_output_bias = config.has_mlp_bias = family == ModelFamily::kLlama;
  config.has_head_norms = family == ModelFamily::kQwen3;
  config.has_tied_embeddings = family == ModelFamily::kQwen3;
  return config;
}

Tensors RandomTensors(const ModelConfig& config, std::uint64_t seed) {
  TestRandom random(seed);
  Tensors tensors;
  for (const ExpectedTensor& tensor : AllTensors(config)) {
    if (tensor.shape.size() == 2) {
      const double deviation = tensor.is_linear_weight ? 1.5 / std::sqrt(static_cast<double>(tensor.shape[1])) : 1.0;
      tensors[tensor.name] = random.Normals(tensor.shape[0] * tensor.shape[1], deviation);
    } else {
      tensors[tensor.name] = random.Uniforms(tensor.shape[0], 0.5, 1.5);
    }
  }
  return tensors;
}

MemoryCheckpoint::MemoryCheckpoint(const ModelConfig& config, const Tensors& tensors) {
  std::vector<TensorInfo> infos;
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const ExpectedTensor& tensor : AllTensors(config)) shapes[tensor.name] = tensor.shape;
  for (const auto& [name, values] : tensors) {
    const auto count = static_cast<std::int64_t>(values.size());
    TensorInfo info{name, DType::kF32, shapes.contains(name) ? shapes[name] : std::vector<std::int64_t>{count}};
    if (info.element_count() != count) info.shape = {count};
    infos.push_back(std::move(info));
  }
  auto file = directory_.Create(kSingleWeightsFile);
  GPTVQ_CHECK(file.ok());
  auto writer = SafetensorsWriter::Begin(infos, {{"format", "pt"}}, **file);
  GPTVQ_CHECK(writer.ok());
  for (const TensorInfo& info : writer->order()) {
    const std::vector<float>& values = tensors.at(info.name);
    const absl::Span<const std::byte> bytes(reinterpret_cast<const std::byte*>(values.data()),
                                            values.size() * sizeof(float));
    GPTVQ_CHECK(writer->Append(bytes).ok());
  }
  GPTVQ_CHECK(writer->Finish().ok() && (*file)->Close().ok());
  auto checkpoint = Checkpoint::Open(directory_);
  GPTVQ_CHECK(checkpoint.ok());
  checkpoint_ = std::make_unique<Checkpoint>(*std::move(checkpoint));
}

std::vector<std::int32_t> RandomIds(const ModelConfig& config, std::int64_t count, std::uint64_t seed) {
  TestRandom random(seed);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(static_cast<std::int32_t>(random.Below(config.vocab_size)));
  return ids;
}

}  // namespace gptvq
