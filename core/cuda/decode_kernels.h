#ifndef GPTVQ_CORE_CUDA_DECODE_KERNELS_H_
#define GPTVQ_CORE_CUDA_DECODE_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/cuda/device_code.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// From assignments to weights and the adjoint. Asynchronous on `stream`. Errors: InvalidArgument unless the vector
// dimension is 1, 2 or 4.
namespace gptvq::cuda {

// q_out = dequantized weights. PlanWarpRows; a grid row per stripe.
absl::Status LaunchDecodeVectors(const RowsPlan& plan, const DeviceCode& code, DeviceView<const float> codebooks,
                                 DeviceView<const std::uint8_t> assignments, DeviceView<float> q_out,
                                 cudaStream_t stream);

// What is summed by centroid: factor * x(row, column), factor = scale or scale^2; a stride of 0 repeats one row.
enum class ScaleFactor { kScale, kSquaredScale };
struct CentroidSumsArguments {
  DeviceCode code;
  DeviceView<const std::uint8_t> assignments;
  DeviceView<const float> x;
  ScaleFactor factor = ScaleFactor::kScale;
  DeviceView<float> sums_out;  // [G, K * d]
};
absl::Status LaunchCentroidSums(const GroupPlan& plan, const CentroidSumsArguments& arguments, cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_DECODE_KERNELS_H_
