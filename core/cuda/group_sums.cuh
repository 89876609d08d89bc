#ifndef GPTVQ_CORE_CUDA_GROUP_SUMS_CUH_
#define GPTVQ_CORE_CUDA_GROUP_SUMS_CUH_

#include "core/cuda/device_math.cuh"

namespace gptvq::cuda {

// Calls add() for every lane with `active`, lanes of equal `cell` one after the other in the order of their
// numbers, different cells at once: private sums of a warp grow in a fixed order without atomics. All lanes of
// the warp must call; `add` must not synchronise. Few cells cost up to 32 rounds, 256 cells about two.
template <typename Add>
__device__ void AddInLaneOrder(bool active, int cell, Add add) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  // An idle lane is alone in a cell of its own.
  const unsigned peers = __match_any_sync(kAllLanes, active ? cell : -1 - lane);
  const int rank = __popc(peers & ((1u << lane) - 1));
  for (int round = 0; __any_sync(kAllLanes, active && rank >= round); ++round) {
    if (active && rank == round) add();
    __syncwarp();
  }
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_GROUP_SUMS_CUH_
