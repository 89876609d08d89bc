#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUB_DEVICE_DEVICE_SEGMENTED_RADIX_SORT_CUH_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUB_DEVICE_DEVICE_SEGMENTED_RADIX_SORT_CUH_

#include <numeric>
#include <vector>

#include "cuda_runtime_api.h"
#include "tests/cuda_simulator/stream_work.h"

namespace cub {

struct DeviceSegmentedRadixSort {
  // Stable. `workspace` null: only says how many bytes are needed.
  template <typename Key, typename Value>
  static cudaError_t SortPairs(void* workspace, std::size_t& workspace_bytes, const Key* keys_in, Key* keys_out,
                               const Value* values_in, Value* values_out, std::int64_t, std::int64_t segments,
                               const std::int64_t* begins, const std::int64_t* ends, int, int, cudaStream_t stream) {
    if (workspace == nullptr) {
      workspace_bytes = 1;
      return cudaSuccess;
    }
    gptvq::simt::QueueWork(stream, [=] {
      for (std::int64_t s = 0; s < segments; ++s) {
        std::vector<std::int64_t> order(static_cast<std::size_t>(ends[s] - begins[s]));
        std::iota(order.begin(), order.end(), begins[s]);
        std::stable_sort(order.begin(), order.end(),
                         [&](std::int64_t a, std::int64_t b) { return keys_in[a] < keys_in[b]; });
        for (std::int64_t i = begins[s]; i < ends[s]; ++i) {
          keys_out[i] = keys_in[order[static_cast<std::size_t>(i - begins[s])]];
          values_out[i] = values_in[order[static_cast<std::size_t>(i - begins[s])]];
        }
      }
    });
    return cudaSuccess;
  }
};

}  // namespace cub

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUB_DEVICE_DEVICE_SEGMENTED_RADIX_SORT_CUH_
