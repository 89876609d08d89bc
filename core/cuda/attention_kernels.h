#ifndef GPTVQ_CORE_CUDA_ATTENTION_KERNELS_H_
#define GPTVQ_CORE_CUDA_ATTENTION_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/backend/forward_ops.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

namespace gptvq::cuda {

// ForwardOps::CausalAttention for the sequences that begin at first_sequence, plan.grid_z of them at most.
// Asynchronous on `stream`.
struct AttentionArguments {
  AttentionShape shape;
  ConstBf16View q, k, v;
  Bf16View out;
  std::int64_t first_sequence = 0;
};
absl::Status LaunchCausalAttention(const AttentionPlan& plan, const AttentionArguments& arguments, cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_ATTENTION_KERNELS_H_
