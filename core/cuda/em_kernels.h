#ifndef GPTVQ_CORE_CUDA_EM_KERNELS_H_
#define GPTVQ_CORE_CUDA_EM_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/backend/quant_ops.h"
#include "core/cuda/device_code.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// ClusterStripe in steps: gather, seed, cluster. All pointers are device memory; asynchronous on `stream`.
// Errors: InvalidArgument unless the vector dimension is 1, 2 or 4.
namespace gptvq::cuda {

// The vectors of a stripe, group after group (groups are consecutive rows, so this is row-major order), one plane per
// component: x = target / scale, w = column weight * scale^2. Planes are `count` long.
struct StripeVectors {
  float* x = nullptr;  // [d, count]
  float* w = nullptr;  // [d, count]
  std::int64_t count = 0;
  std::int64_t positions = 0;  // vectors of a row of the stripe
  std::int64_t rows = 0;
  std::int64_t group_count = 0;

  // First vector of a group; group_count gives `count`.
  GPTVQ_HD std::int64_t Begin(std::int64_t group) const { return group * rows / group_count * positions; }
};

struct GatherArguments {
  DeviceCode code;
  std::int64_t column_begin = 0;
  DeviceView<const float> x;              // [R, width]
  const float* column_weights = nullptr;  // [width]
  StripeVectors vectors_out;
};
absl::Status LaunchGatherVectors(const RowsPlan& plan, const GatherArguments& arguments, cudaStream_t stream);

// Mahalanobis seeding in three steps: distances as sortable keys with the vectors' numbers within their groups;
// a stable sort of every group; the vectors at equal rank distances into the codebooks.
struct SeedingArguments {
  StripeVectors vectors;
  double regularisation = 0;
  std::uint32_t* keys = nullptr;     // [count]
  std::uint32_t* numbers = nullptr;  // [count]
  std::uint32_t* sorted_keys = nullptr;
  std::uint32_t* sorted_numbers = nullptr;
  std::int64_t* offsets = nullptr;  // [group_count + 1]
};
absl::Status LaunchMahalanobisKeys(const GroupPlan& plan, int vector_dim, const SeedingArguments& arguments,
                                   cudaStream_t stream);
// `workspace` null: only says how many bytes are needed.
absl::Status SortGroups(const SeedingArguments& arguments, void* workspace, std::size_t& workspace_bytes,
                        cudaStream_t stream);
absl::Status LaunchTakeSeeds(int vector_dim, const SeedingArguments& arguments, DeviceView<float> codebooks_out,
                             cudaStream_t stream);

// D-squared seeding. fractions [group_count, K]: uniform random numbers; nearest [count]: scratch.
struct DSquaredArguments {
  StripeVectors vectors;
  const double* fractions = nullptr;
  float* nearest = nullptr;
};
absl::Status LaunchDSquaredSeeds(const GroupPlan& plan, int vector_dim, const DSquaredArguments& arguments,
                                 DeviceView<float> codebooks_out, cudaStream_t stream);

// EM from the centroids that stand in `codebooks` (the stripe's rows only), in place.
struct ClusterArguments {
  StripeVectors vectors;
  DeviceView<float> codebooks;  // [group_count, K * d]
  int centroid_count = 0;
  int max_iterations = 0;
  Compatibility compatibility = Compatibility::kNone;
  std::uint8_t* assigned = nullptr;        // [count]
  std::uint8_t* previous = nullptr;        // [count]
  float* distances = nullptr;              // [count]
  std::int64_t* iterations_out = nullptr;  // [group_count]
  double* objectives_out = nullptr;        // [group_count]
};
absl::Status LaunchClusterGroups(const GroupPlan& plan, int vector_dim, const ClusterArguments& arguments,
                                 cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_EM_KERNELS_H_
