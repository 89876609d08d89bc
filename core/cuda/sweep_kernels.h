#ifndef GPTVQ_CORE_CUDA_SWEEP_KERNELS_H_
#define GPTVQ_CORE_CUDA_SWEEP_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/cuda/device_code.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// The three column passes: SweepColumns, RefineColumns and SweepUniformColumns of core/backend/quant_ops.h,
// whose contracts hold here word for word. All pointers are device memory; asynchronous on `stream`; plans by
// PlanTile and PlanUniformTile for exactly these shapes. Errors: InvalidArgument unless the vector dimension is
// 1, 2 or 4.
namespace gptvq::cuda {

struct SweepArguments {
  DeviceCode code;
  DeviceView<const float> codebooks;
  std::int64_t column_begin = 0;
  DeviceView<const float> weights;  // data null: the targets stand for the weights
  DeviceView<float> target;
  DeviceView<const float> feedback;
  DeviceView<const float> metric_factor;
  DeviceView<float> error_out;
  DeviceView<std::uint8_t> assignments;  // of the whole linear
  double* row_losses_out = nullptr;      // [R]
};
absl::Status LaunchSweepColumns(const TilePlan& plan, const SweepArguments& arguments, cudaStream_t stream);

struct RefineArguments {
  DeviceCode code;
  DeviceView<const float> codebooks;
  std::int64_t column_begin = 0;
  DeviceView<float> gradient;
  DeviceView<const float> hessian;
  DeviceView<float> change_out;
  DeviceView<std::uint8_t> assignments;     // of the whole linear
  const float* noise_deviations = nullptr;  // [B] or null
  std::uint32_t noise_key = 0;
  std::int64_t first_row = 0;                   // of the block in its linear
  unsigned long long* changed_count = nullptr;  // grows by the vectors that changed
};
absl::Status LaunchRefineColumns(const TilePlan& plan, const RefineArguments& arguments, cudaStream_t stream);

struct UniformSweepArguments {
  DeviceView<const float> weights;  // data null: the targets stand for the weights
  DeviceView<float> target;
  DeviceView<const float> feedback;  // data null: none
  DeviceView<const float> grid_weights;
  DeviceView<float> error_out;
  int bits = 0;
  int group_columns = 0;
  DeviceView<std::uint8_t> codes_out;
  DeviceView<std::uint16_t> scales_out;
  DeviceView<std::uint8_t> zero_points_out;
};
absl::Status LaunchSweepUniformColumns(const TilePlan& plan, const UniformSweepArguments& arguments,
                                       cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_SWEEP_KERNELS_H_
