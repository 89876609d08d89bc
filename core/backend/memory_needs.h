#ifndef GPTVQ_CORE_BACKEND_MEMORY_NEEDS_H_
#define GPTVQ_CORE_BACKEND_MEMORY_NEEDS_H_

#include <cstdint>

#include "core/base/dtype.h"

namespace gptvq {

// What a kind of backend allocates by itself beside what is asked of it, so that memory can be planned where there is no
// device (core/pipeline/memory_plan.h). Plain values, upper bounds.
struct MemoryNeeds {
  enum class Place { kHost, kDevice };

  Place place = Place::kHost;  // of the backend's memory
  DType activation_dtype = DType::kF32;
  std::int64_t factor_bytes = 0;   // per element of a matrix that ReversedCholesky factorises
  std::int64_t cluster_bytes = 0;  // per weight of a stripe that ClusterStripe clusters
  std::int64_t product_bytes = 0;  // per row and column of the result of a large MatMul
  std::int64_t lane_bytes = 0;     // of host memory, by an UploadLane; 0: there is none
};

// Scratch of the CPU's operations is part of the programs' own, a few MiB a thread.
inline constexpr MemoryNeeds kCpuMemoryNeeds = {};

// A copy in f64 and a quarter of it as cuSOLVER's work space; planes, distances and sort keys; both factors split in three
// by pieces of 1024 of the inner axis (core/cuda/products.h); two pieces of an upload (core/cuda/cuda_upload_lane.h).
inline constexpr MemoryNeeds kCudaMemoryNeeds = {.place = MemoryNeeds::Place::kDevice,
                                                 .activation_dtype = DType::kBf16,
                                                 .factor_bytes = 10,
                                                 .cluster_bytes = 40,
                                                 .product_bytes = 3 * 1024 * 4,
                                                 .lane_bytes = 2 * (std::int64_t{16} << 20)};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_MEMORY_NEEDS_H_
