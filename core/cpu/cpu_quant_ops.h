#ifndef GPTVQ_CORE_CPU_CPU_QUANT_OPS_H_
#define GPTVQ_CORE_CPU_CPU_QUANT_OPS_H_

#include "core/backend/quant_ops.h"
#include "core/base/worker_pool.h"
#include "core/cpu/sgemm.h"

namespace gptvq {

// QuantOps on host memory; one .cc file per family of operations. Borrows the pool and its product. Work is cut into tiles of rows, groups
// or columns of fixed size; sums across tiles run in tile order.
class CpuQuantOps final : public QuantOps {
 public:
  CpuQuantOps(WorkerPool& pool, Sgemm& sgemm) : pool_(pool), sgemm_(sgemm) {}

  // cpu_linear_algebra.cc
  absl::StatusOr<std::int64_t> AccumulateHessian(ConstTensorView x, MatrixView<float> h) override;
  absl::StatusOr<std::int64_t> AccumulateHessianPanels(ConstTensorView x, absl::Span<const IndexRange> panels,
                                                       MatrixView<float> h) override;
  absl::Status Symmetrize(MatrixView<float> h) override;
  absl::Status MatMul(float alpha, MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
                      Transpose transpose_b, float beta, MatrixView<float> c) override;
  absl::Status CoarseMatMul(MatrixView<const float> a, MatrixView<const float> b, float beta,
                            MatrixView<float> c) override;

  // cpu_cholesky.cc
  absl::Status ReversedCholesky(MatrixView<float> h) override;
  absl::Status NormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<float> m_out) override;

  // cpu_elementwise.cc
  absl::Status Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) override;
  absl::Status RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) override;
  absl::Status BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) override;

  // cpu_em.cc
  absl::StatusOr<EmResult> ClusterStripe(const VectorCode& code, const Stripe& stripe, MatrixView<const float> x,
                                         absl::Span<const float> column_weights, const EmOptions& options,
                                         Codebooks codebooks) override;

  // cpu_sweep.cc, cpu_uniform_sweep.cc, cpu_refine.cc
  absl::StatusOr<double> SweepColumns(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                                      Assignments assignments) override;
  absl::Status SweepUniformColumns(const UniformSweepBlock& block) override;
  absl::StatusOr<std::int64_t> RefineColumns(const VectorCode& code, ConstCodebooks codebooks, const RefineBlock& block,
                                             Assignments assignments) override;

  // cpu_decode.cc
  absl::Status DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                             MatrixView<float> q_out) override;
  absl::Status AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments, MatrixView<const float> x,
                                      Codebooks sums_out) override;
  absl::Status AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                         absl::Span<const float> column_weights, Codebooks sums_out) override;

  // cpu_packing.cc
  absl::Status PackAssignments(const VectorCode& code, ConstAssignments assignments, PackedIndices packed_out) override;
  absl::Status UnpackAssignments(const VectorCode& code, ConstPackedIndices packed,
                                 Assignments assignments_out) override;

 private:
  WorkerPool& pool_;
  Sgemm& sgemm_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_CPU_QUANT_OPS_H_
