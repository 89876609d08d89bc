#ifndef GPTVQ_CORE_BACKEND_FORWARD_CHECKS_H_
#define GPTVQ_CORE_BACKEND_FORWARD_CHECKS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/backend/forward_ops.h"

namespace gptvq {

// What every implementation of ForwardOps checks before it touches memory: shapes, and the dtype of every tensor, which
// must be `dtype`. Pure. Errors: InvalidArgument naming the operation and the condition that does not hold.
absl::Status CheckLinear(DType dtype, ConstTensorView x, ConstTensorView w, MatrixView<const float> bias,
                         ConstTensorView y);
absl::Status CheckRmsNorm(DType dtype, ConstTensorView x, MatrixView<const float> weight, ConstTensorView y);
absl::Status CheckRmsNormHeads(DType dtype, ConstTensorView x, int head_count, MatrixView<const float> weight);
absl::Status CheckApplyRotary(DType dtype, ConstTensorView x, int head_count, MatrixView<const float> cosines,
                              MatrixView<const float> sines);
absl::Status CheckCausalAttention(DType dtype, ConstTensorView q, ConstTensorView k, ConstTensorView v,
                                  const AttentionShape& shape, ConstTensorView out);
absl::Status CheckSwiGlu(DType dtype, ConstTensorView gate, ConstTensorView up, ConstTensorView out);
absl::Status CheckAddInPlace(DType dtype, ConstTensorView x, ConstTensorView y);
// Here `dtype` is what y may have beside f32.
absl::Status CheckConvert(DType dtype, ConstTensorView x, ConstTensorView y);
absl::Status CheckAccumulateLogSumExp(DType dtype, ConstTensorView hidden, ConstTensorView head,
                                      absl::Span<const std::int32_t> targets, const LogSumExpState& state);

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_FORWARD_CHECKS_H_
