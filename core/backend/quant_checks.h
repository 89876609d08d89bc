#ifndef GPTVQ_CORE_BACKEND_QUANT_CHECKS_H_
#define GPTVQ_CORE_BACKEND_QUANT_CHECKS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/backend/quant_ops.h"

namespace gptvq {

// What every implementation of QuantOps checks before it touches memory. Pure: looks at shapes and host spans, never at
// the elements of a matrix. Errors: InvalidArgument naming the operation and the condition that does not hold.
absl::Status CheckAccumulateHessian(DType dtype, ConstTensorView x, MatrixView<const float> h);
absl::Status CheckAccumulateHessianPanels(DType dtype, ConstTensorView x, absl::Span<const IndexRange> panels,
                                          MatrixView<const float> h);
absl::Status CheckSquare(std::string_view operation, MatrixView<const float> h);
absl::Status CheckNormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<const float> m);
absl::Status CheckMatMul(MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
                         Transpose transpose_b, MatrixView<const float> c);
absl::Status CheckRowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<const double> dots);
absl::Status CheckBlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<const float> maxima);
absl::Status CheckClusterStripe(const VectorCode& code, const Stripe& stripe, MatrixView<const float> x,
                                absl::Span<const float> column_weights, ConstCodebooks codebooks);
absl::Status CheckSweepColumns(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                               ConstAssignments assignments);
absl::Status CheckSweepUniformColumns(const UniformSweepBlock& block);
absl::Status CheckRefineColumns(const VectorCode& code, ConstCodebooks codebooks, const RefineBlock& block,
                                ConstAssignments assignments);
// DecodeVectors, AccumulateCentroidSums and AccumulateCentroidWeights: `x` is the R x C matrix.
absl::Status CheckVectorMatrix(std::string_view operation, const VectorCode& code, ConstCodebooks codebooks,
                               ConstAssignments assignments, MatrixView<const float> x);
absl::Status CheckAccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                            absl::Span<const float> column_weights, ConstCodebooks sums);
// PackAssignments and UnpackAssignments.
absl::Status CheckPackedIndices(std::string_view operation, const VectorCode& code, ConstAssignments assignments,
                                ConstPackedIndices packed);

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_QUANT_CHECKS_H_
