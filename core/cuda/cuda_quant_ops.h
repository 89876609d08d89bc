#ifndef GPTVQ_CORE_CUDA_CUDA_QUANT_OPS_H_
#define GPTVQ_CORE_CUDA_CUDA_QUANT_OPS_H_

#include <cstdint>

#include "core/backend/quant_ops.h"
#include "core/cuda/device_context.h"

namespace gptvq::cuda {

// QuantOps on one CUDA device; one .cc file per family of operations, which checks, plans, finds scratch memory
// and launches. Borrows the context. Operations return when their work is queued, except those that return a
// number or write to host memory.
class CudaQuantOps final : public QuantOps {
 public:
  // `row_unit`: that of FloatProduct (core/cuda/products.h).
  CudaQuantOps(DeviceContext& context, std::int64_t row_unit) : context_(context), row_unit_(row_unit) {}

  // cuda_linear_algebra.cc
  absl::StatusOr<std::int64_t> AccumulateHessian(ConstTensorView x, MatrixView<float> h) override;
  absl::StatusOr<std::int64_t> AccumulateHessianPanels(ConstTensorView x, absl::Span<const IndexRange> panels,
                                                       MatrixView<float> h) override;
  absl::Status Symmetrize(MatrixView<float> h) override;
  absl::Status MatMul(float alpha, MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
                      Transpose transpose_b, float beta, MatrixView<float> c) override;
  absl::Status CoarseMatMul(MatrixView<const float> a, MatrixView<const float> b, float beta,
                            MatrixView<float> c) override;

  // cuda_cholesky.cc
  absl::Status ReversedCholesky(MatrixView<float> h) override;
  absl::Status NormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<float> m_out) override;

  // cuda_linear_algebra.cc
  absl::Status Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) override;
  absl::Status RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) override;
  absl::Status BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) override;

  // cuda_em.cc
  absl::StatusOr<EmResult> ClusterStripe(const VectorCode& code, const Stripe& stripe, MatrixView<const float> x,
                                         absl::Span<const float> column_weights, const EmOptions& options,
                                         Codebooks codebooks) override;

  // cuda_sweep.cc
  absl::StatusOr<double> SweepColumns(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                                      Assignments assignments) override;
  absl::Status SweepUniformColumns(const UniformSweepBlock& block) override;
  absl::StatusOr<std::int64_t> RefineColumns(const VectorCode& code, ConstCodebooks codebooks, const RefineBlock& block,
                                             Assignments assignments) override;

  // cuda_decode.cc
  absl::Status DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                             MatrixView<float> q_out) override;
  absl::Status AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments, MatrixView<const float> x,
                                      Codebooks sums_out) override;
  absl::Status AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                         absl::Span<const float> column_weights, Codebooks sums_out) override;

  // cuda_packing.cc
  absl::Status PackAssignments(const VectorCode& code, ConstAssignments assignments, PackedIndices packed_out) override;
  absl::Status UnpackAssignments(const VectorCode& code, ConstPackedIndices packed,
                                 Assignments assignments_out) override;

 private:
  DeviceContext& context_;
  const std::int64_t row_unit_;
};

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_CUDA_QUANT_OPS_H_
