// Causal attention of a layer. Operations: half of the square.
#include <cmath>
#include <string>

#include "bench/gpu/gpu_table.h"

namespace gptvq {

void AddAttentionRows(GpuTable& table) {
  Backend& backend = table.backend();
  const ModelShape& model = table.shape();
  const AttentionShape shape = {.sequence_length = model.sequence,
                                .head_count = model.heads,
                                .kv_head_count = model.kv_heads,
                                .head_dim = model.head_dim,
                                .score_scale = 1.0f / std::sqrt(static_cast<float>(model.head_dim))};
  const std::int64_t queries = model.queries();
  const DeviceTensor q = GpuNormalTensor(backend, model.chunk, queries, 20);
  const DeviceTensor k = GpuNormalTensor(backend, model.chunk, model.key_values(), 21),
                     v = GpuNormalTensor(backend, model.chunk, model.key_values(), 22);
  DeviceTensor out = DeviceTensor::Allocate(backend, model.chunk, queries).value();
  const auto t = static_cast<double>(model.chunk), width = static_cast<double>(queries);
  table.Row(
      "CausalAttention " + std::to_string(model.heads) + " heads of " + std::to_string(model.head_dim),
      {2 * t * static_cast<double>(model.sequence) * width, 4 * t * (width + static_cast<double>(model.key_values()))},
      GpuRoof::kBf16, static_cast<double>(model.tokens) / t,
      [&] { return backend.forward().CausalAttention(q.view(), k.view(), v.view(), shape, out.view()); });
}

}  // namespace gptvq
