// From assignments to weights, and the adjoint of that map.
#include <algorithm>

#include "core/backend/quant_checks.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/decode_kernels.h"

namespace gptvq::cuda {
namespace {

// Vectors of the largest group: the widest stripe with its tallest row block.
std::int64_t MaxGroupVectors(const DeviceCode& code) {
  std::int64_t most = 0;
  for (std::int64_t s : {std::int64_t{0}, code.stripe_count - 1}) {
    const DeviceStripe stripe = code.Stripe(s);
    const std::int64_t height = (code.rows + stripe.row_block_count - 1) / stripe.row_block_count;
    most = std::max(most, height * ((stripe.column_end - stripe.column_begin) / code.vector_dim));
  }
  return most;
}

absl::Status SumByCentroid(DeviceContext& context, const CentroidSumsArguments& arguments) {
  const DeviceCode& code = arguments.code;
  const GroupPlan plan = PlanCentroidSums({.group_count = arguments.sums_out.rows,
                                           .max_group_vectors = MaxGroupVectors(code),
                                           .vector_dim = code.vector_dim,
                                           .centroid_count = code.centroid_count},
                                          context.limits());
  return LaunchCentroidSums(plan, arguments, context.stream());
}

}  // namespace

absl::Status CudaQuantOps::DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                                         MatrixView<float> q_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("DecodeVectors", code, codebooks, assignments, q_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchDecodeVectors(PlanWarpRows(q_out.rows, context_.limits()), MakeDeviceCode(code), ReadOnly(codebooks),
                             ReadOnly(assignments), OnDevice(q_out), context_.stream());
}

absl::Status CudaQuantOps::AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments,
                                                  MatrixView<const float> x, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckVectorMatrix("AccumulateCentroidSums", code, sums_out, assignments, x));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return SumByCentroid(context_, {.code = MakeDeviceCode(code),
                                  .assignments = ReadOnly(assignments),
                                  .x = ReadOnly(x),
                                  .factor = ScaleFactor::kScale,
                                  .sums_out = OnDevice(sums_out)});
}

absl::Status CudaQuantOps::AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                                     absl::Span<const float> column_weights, Codebooks sums_out) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateCentroidWeights(code, assignments, column_weights, sums_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const auto weights, DeviceBuffer<float>::FromHost(context_, column_weights));
  GPTVQ_RETURN_IF_ERROR(SumByCentroid(context_, {.code = MakeDeviceCode(code),
                                                 .assignments = ReadOnly(assignments),
                                                 .x = {weights.data(), code.layout->rows(), code.layout->cols(), 0},
                                                 .factor = ScaleFactor::kSquaredScale,
                                                 .sums_out = OnDevice(sums_out)}));
  return context_.Sync("AccumulateCentroidWeights");  // the weights are the caller's
}

}  // namespace gptvq::cuda
