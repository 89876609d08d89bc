#ifndef GPTVQ_CORE_CUDA_CUDA_FORWARD_OPS_H_
#define GPTVQ_CORE_CUDA_CUDA_FORWARD_OPS_H_

#include "core/backend/forward_ops.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

// ForwardOps in bfloat16 on one CUDA device: products on the tensor cores by cuBLAS, the rest by kernels of
// this folder. Borrows the context. Operations return when their work is queued.
class CudaForwardOps final : public ForwardOps {
 public:
  explicit CudaForwardOps(DeviceContext& context) : context_(context) {}

  absl::Status Linear(ConstTensorView x, ConstTensorView w, MatrixView<const float> bias, TensorView y_out) override;
  absl::Status RmsNorm(ConstTensorView x, MatrixView<const float> weight, double epsilon, TensorView y_out) override;
  absl::Status RmsNormHeads(TensorView x, int head_count, MatrixView<const float> weight, double epsilon) override;
  absl::Status ApplyRotary(TensorView x, int head_count, MatrixView<const float> cosines,
                           MatrixView<const float> sines) override;
  absl::Status CausalAttention(ConstTensorView q, ConstTensorView k, ConstTensorView v, const AttentionShape& shape,
                               TensorView out) override;
  absl::Status SwiGlu(ConstTensorView gate, ConstTensorView up, TensorView out) override;
  absl::Status AddInPlace(ConstTensorView x, TensorView y) override;
  absl::Status Convert(ConstTensorView x, TensorView y_out) override;
  absl::Status AccumulateLogSumExp(ConstTensorView hidden, ConstTensorView head, std::int64_t first_token,
                                   absl::Span<const std::int32_t> targets, LogSumExpState state) override;

 private:
  DeviceContext& context_;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_FORWARD_OPS_H_
