// The column passes: a block of columns is one kernel, and one number comes back.
#include <algorithm>

#include "core/backend/quant_checks.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/matrix_kernels.h"
#include "core/cuda/sweep_kernels.h"

namespace gptvq::cuda {
namespace {

absl::StatusOr<TilePlan> PlanOf(const DeviceCode& code, std::int64_t width, const DeviceLimits& limits) {
  return PlanTile({.rows = code.rows,
                   .width = width,
                   .vector_dim = code.vector_dim,
                   .centroid_count = code.centroid_count,
                   .max_row_blocks = std::max(code.stripe_row_blocks, code.last_row_blocks),
                   .matrices = 2},
                  limits);
}

// Null when the targets stand for the weights.
DeviceView<const float> WeightsOf(MatrixView<const float> weights, MatrixView<float> target) {
  return weights.data == target.data ? DeviceView<const float>() : ReadOnly(weights);
}

}  // namespace

absl::StatusOr<double> CudaQuantOps::SweepColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                  const SweepBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckSweepColumns(code, codebooks, block, assignments));
  const std::int64_t rows = block.target.rows;
  if (rows == 0 || block.target.cols == 0) return 0;
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const DeviceCode device_code = MakeDeviceCode(code);
  GPTVQ_ASSIGN_OR_RETURN(const TilePlan plan, PlanOf(device_code, block.target.cols, context_.limits()));
  GPTVQ_ASSIGN_OR_RETURN(const auto losses, DeviceBuffer<double>::Make(context_, rows + 1));
  GPTVQ_RETURN_IF_ERROR(LaunchSweepColumns(plan,
                                           {.code = device_code,
                                            .codebooks = ReadOnly(codebooks),
                                            .column_begin = block.column_begin,
                                            .weights = WeightsOf(block.weights, block.target),
                                            .target = OnDevice(block.target),
                                            .feedback = ReadOnly(block.feedback),
                                            .metric_factor = ReadOnly(block.metric_factor),
                                            .error_out = OnDevice(block.error_out),
                                            .assignments = OnDevice(assignments),
                                            .row_losses_out = losses.data()},
                                           context_.stream()));
  double* const total = losses.data() + rows;
  GPTVQ_RETURN_IF_ERROR(LaunchSum(losses.data(), rows, total, context_.stream()));
  double loss = 0;
  GPTVQ_RETURN_IF_ERROR(context_.CopyToHostSync(total, &loss, sizeof(loss)));
  return loss;
}

absl::StatusOr<std::int64_t> CudaQuantOps::RefineColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                         const RefineBlock& block, Assignments assignments) {
  GPTVQ_RETURN_IF_ERROR(CheckRefineColumns(code, codebooks, block, assignments));
  if (block.gradient.rows == 0 || block.gradient.cols == 0) return 0;
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const DeviceCode device_code = MakeDeviceCode(code);
  GPTVQ_ASSIGN_OR_RETURN(const TilePlan plan, PlanOf(device_code, block.gradient.cols, context_.limits()));
  GPTVQ_ASSIGN_OR_RETURN(const auto deviations, DeviceBuffer<float>::FromHost(context_, block.noise_deviations));
  GPTVQ_ASSIGN_OR_RETURN(const auto changed, DeviceBuffer<unsigned long long>::Make(context_, 1));
  GPTVQ_RETURN_IF_ERROR(context_.Zero(changed.data(), changed.bytes()));
  GPTVQ_RETURN_IF_ERROR(
      LaunchRefineColumns(plan,
                          {.code = device_code,
                           .codebooks = ReadOnly(codebooks),
                           .column_begin = block.column_begin,
                           .gradient = OnDevice(block.gradient),
                           .hessian = ReadOnly(block.hessian),
                           .change_out = OnDevice(block.change_out),
                           .assignments = OnDevice(assignments),
                           .noise_deviations = block.noise_deviations.empty() ? nullptr : deviations.data(),
                           .noise_key = block.noise_key,
                           .first_row = block.first_row,
                           .changed_count = changed.data()},
                          context_.stream()));
  unsigned long long count = 0;
  GPTVQ_RETURN_IF_ERROR(changed.ToHostSync(absl::MakeSpan(&count, 1)));
  return static_cast<std::int64_t>(count);
}

absl::Status CudaQuantOps::SweepUniformColumns(const UniformSweepBlock& block) {
  GPTVQ_RETURN_IF_ERROR(CheckSweepUniformColumns(block));
  if (block.target.rows == 0 || block.target.cols == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const TilePlan plan, PlanUniformTile(block.target.rows, block.target.cols, context_.limits()));
  return LaunchSweepUniformColumns(plan,
                                   {.weights = WeightsOf(block.weights, block.target),
                                    .target = OnDevice(block.target),
                                    .feedback = ReadOnly(block.feedback),
                                    .grid_weights = ReadOnly(block.grid_weights),
                                    .error_out = OnDevice(block.error_out),
                                    .bits = block.bits,
                                    .group_columns = block.group_columns,
                                    .codes_out = OnDevice(block.codes_out),
                                    .scales_out = OnDevice(block.scales_out),
                                    .zero_points_out = OnDevice(block.zero_points_out)},
                                   context_.stream());
}

}  // namespace gptvq::cuda
