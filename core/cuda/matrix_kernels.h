#ifndef GPTVQ_CORE_CUDA_MATRIX_KERNELS_H_
#define GPTVQ_CORE_CUDA_MATRIX_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// f32 matrices element by element and row by row. Every launch is asynchronous on `stream`; shapes were checked
// by the caller.
namespace gptvq::cuda {

// Whether this build has code for the calling thread's device.
// Errors: FailedPrecondition naming what it was built for.
absl::Status CheckKernelsFitDevice();

// y = alpha x + beta y; with a null x, y = beta y. beta 0 ignores what y held.
struct Scaling {
  float alpha = 0;
  float beta = 0;
};
absl::Status LaunchAxpby(const RowsPlan& plan, const Scaling& scaling, DeviceView<const float> x, DeviceView<float> y,
                         cudaStream_t stream);

// dots_out[r] = sum over c of a(r, c) b(r, c), f64. PlanWarpRows.
absl::Status LaunchRowDots(const RowsPlan& plan, DeviceView<const float> a, DeviceView<const float> b, double* dots_out,
                           cudaStream_t stream);

// PlanWarpRows.
absl::Status LaunchBlockAbsMax(const RowsPlan& plan, DeviceView<const float> x, int block_columns,
                               DeviceView<float> maxima_out, cudaStream_t stream);

// Lower triangle = upper triangle.
absl::Status LaunchSymmetrize(const TrianglePlan& plan, DeviceView<float> h, cudaStream_t stream);

// Conversions between f32 and bfloat16 bits.
absl::Status LaunchToBf16(const RowsPlan& plan, DeviceView<const float> source, Bf16View target_out,
                          cudaStream_t stream);
absl::Status LaunchFromBf16(const RowsPlan& plan, ConstBf16View source, DeviceView<float> target_out,
                            cudaStream_t stream);

// From IEEE half: exact to f32, rounded once to bfloat16.
absl::Status LaunchFromHalf(const RowsPlan& plan, ConstHalfView source, DeviceView<float> target_out,
                            cudaStream_t stream);
absl::Status LaunchHalfToBf16(const RowsPlan& plan, ConstHalfView source, Bf16View target_out, cudaStream_t stream);

// The operand of a product in TF32, three times along the inner axis: low, high, high (SplitTf32 in formulas.h) or high,
// low, high, so that the product of one kind with the other is the product of the originals but for that of the low
// parts. The small products come first: tensor cores cut a sum off whenever they add to it, and a small one loses little.
// out [rows, 3 cols] or [3 rows, cols].
enum class InnerAxis { kCols, kRows };
enum class SplitOrder { kLowHighHigh, kHighLowHigh };
struct SplitArguments {
  DeviceView<const float> matrix;
  InnerAxis inner = InnerAxis::kCols;
  SplitOrder order = SplitOrder::kLowHighHigh;
  DeviceView<float> out;
};
absl::Status LaunchSplit(const RowsPlan& plan, const SplitArguments& arguments, cudaStream_t stream);

// sum_out[0] = values[0] + values[1] + ... in an order fixed by `count`.
absl::Status LaunchSum(const double* values, std::int64_t count, double* sum_out, cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_MATRIX_KERNELS_H_
