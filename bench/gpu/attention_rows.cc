// Causal attention of a layer: 64 heads of 128, 8 of keys and values, 2048 positions. Operations: half of the square.
#include <cmath>

#include "bench/gpu/gpu_table.h"

namespace gptvq {

void AddAttentionRows(GpuTable& table) {
  Backend& backend = table.backend();
  const AttentionShape shape = {.sequence_length = kSequence,
                                .head_count = 64,
                                .kv_head_count = 8,
                                .head_dim = 128,
                                .score_scale = 1.0f / std::sqrt(128.0f)};
  const DeviceTensor q = GpuNormalTensor(backend, kBatch, kHidden, 20);
  const DeviceTensor k = GpuNormalTensor(backend, kBatch, kKeyValues, 21),
                     v = GpuNormalTensor(backend, kBatch, kKeyValues, 22);
  DeviceTensor out = DeviceTensor::Allocate(backend, kBatch, kHidden).value();
  const double t = kBatch;
  table.Row("CausalAttention 8 x 2048, 64 heads of 128", {2 * t * kSequence * kHidden, 4 * t * (kHidden + kKeyValues)},
            GpuRoof::kBf16, 2.0 * kTokens / kBatch,
            [&] { return backend.forward().CausalAttention(q.view(), k.view(), v.view(), shape, out.view()); });
}

}  // namespace gptvq
