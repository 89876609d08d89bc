#ifndef GPTVQ_CORE_CPU_CPU_FORWARD_OPS_H_
#define GPTVQ_CORE_CPU_CPU_FORWARD_OPS_H_

#include "core/backend/forward_ops.h"
#include "core/base/worker_pool.h"
#include "core/cpu/sgemm.h"

namespace gptvq {

// ForwardOps in f32 on host memory. Borrows the pool and its product. Work is cut into pieces of rows (and heads) of fixed size.
class CpuForwardOps final : public ForwardOps {
 public:
  CpuForwardOps(WorkerPool& pool, Sgemm& sgemm) : pool_(pool), sgemm_(sgemm) {}

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
  WorkerPool& pool_;
  Sgemm& sgemm_;
  AlignedScratch key_values_;  // of one sequence, packed
  AlignedScratch logits_;      // of some tokens against some of the vocabulary
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_CPU_FORWARD_OPS_H_
