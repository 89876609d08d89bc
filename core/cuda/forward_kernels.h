#ifndef GPTVQ_CORE_CUDA_FORWARD_KERNELS_H_
#define GPTVQ_CORE_CUDA_FORWARD_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// The forward pass but for its products and attention. bfloat16 in and out, f32 inside, one rounding per
// result. Asynchronous on `stream`.
namespace gptvq::cuda {

// Pieces of `width` columns of every row, each normalised by itself: one piece a row for RmsNorm, one per head for
// RmsNormHeads. y may be x. PlanPieces(rows * pieces_per_row, width).
struct NormArguments {
  ConstBf16View x;
  const float* weight = nullptr;  // [width]
  Bf16View y_out;
  std::int64_t pieces_per_row = 1;
  std::int64_t width = 0;
  float epsilon = 0;
};
absl::Status LaunchRmsNorm(const PiecesPlan& plan, const NormArguments& arguments, cudaStream_t stream);

// In place. PlanRows(rows, head_count * half).
absl::Status LaunchApplyRotary(const RowsPlan& plan, Bf16View x, DeviceView<const float> cosines,
                               DeviceView<const float> sines, cudaStream_t stream);

// Element by element. PlanRows(rows, cols / PackWidth(...)).
absl::Status LaunchSwiGlu(const RowsPlan& plan, ConstBf16View gate, ConstBf16View up, Bf16View out,
                          cudaStream_t stream);
absl::Status LaunchAddInPlace(const RowsPlan& plan, ConstBf16View x, Bf16View y, cudaStream_t stream);

// Elements that one thread takes at a time: 8 (16 bytes) when every matrix is aligned to that, else 1. The
// launches above decide by the same rule.
int PackWidth(ConstBf16View a, ConstBf16View b, ConstBf16View c);

// y = sums + bias, rounded once. bias [cols] or null.
absl::Status LaunchAddBias(const RowsPlan& plan, DeviceView<const float> sums, const float* bias, Bf16View y_out,
                           cudaStream_t stream);

// Folds rows of logits, of the tokens from first_token on, into the state of their tokens. PlanPieces(rows, cols).
struct LogitsArguments {
  DeviceView<const float> logits;
  const std::int32_t* targets = nullptr;  // [rows]
  std::int64_t first_token = 0;
  DeviceView<float> max, sum, target_logit;  // [rows, 1]
};
absl::Status LaunchFoldLogits(const PiecesPlan& plan, const LogitsArguments& arguments, cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_FORWARD_KERNELS_H_
