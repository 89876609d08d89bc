#include "core/cuda/cuda_forward_ops.h"

#include <algorithm>

#include "core/backend/forward_checks.h"
#include "core/cuda/attention_kernels.h"
#include "core/cuda/device_view.h"
#include "core/cuda/forward_kernels.h"
#include "core/cuda/matrix_kernels.h"
#include "core/cuda/products.h"

namespace gptvq::cuda {
namespace {

constexpr DType kDType = DType::kBf16;
// f32 results that exist at a time beside a bfloat16 product: enough rows to keep the tensor cores busy.
constexpr std::int64_t kScratchBytes = std::int64_t{64} << 20;

ConstBf16View RowsOf(ConstBf16View view, std::int64_t first, std::int64_t count) {
  return {view.data + first * view.stride, count, view.cols, view.stride};
}

}  // namespace

absl::Status CudaForwardOps::Linear(ConstTensorView x_tensor, ConstTensorView w_tensor, MatrixView<const float> bias,
                                    TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckLinear(kDType, x_tensor, w_tensor, bias, y_tensor));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const ConstBf16View x = Bf16OnDevice(x_tensor), w = Bf16OnDevice(w_tensor);
  const Bf16View y = Bf16OnDevice(y_tensor);
  if (bias.data == nullptr) return MultiplyToBf16(context_, {.a = x, .b = w, .transpose_b = Transpose::kYes}, y);
  // Rounding before the bias is added would round twice.
  const std::int64_t chunk = std::min(PlanTokenChunk(y.cols, kScratchBytes), y.rows);
  GPTVQ_ASSIGN_OR_RETURN(const DeviceBuffer<float> sums, DeviceBuffer<float>::Make(context_, chunk * y.cols));
  for (std::int64_t first = 0; first < y.rows; first += chunk) {
    const std::int64_t count = std::min(chunk, y.rows - first);
    const DeviceView<float> part = {sums.data(), count, y.cols, std::max<std::int64_t>(y.cols, 1)};
    GPTVQ_RETURN_IF_ERROR(
        MultiplyToFloat(context_, {.a = RowsOf(x, first, count), .b = w, .transpose_b = Transpose::kYes}, 0.0f, part));
    GPTVQ_RETURN_IF_ERROR(LaunchAddBias(PlanRows(count, y.cols, context_.limits()),
                                        {part.data, part.rows, part.cols, part.stride}, bias.data,
                                        {y.row(first), count, y.cols, y.stride}, context_.stream()));
  }
  return absl::OkStatus();
}

absl::Status CudaForwardOps::RmsNorm(ConstTensorView x, MatrixView<const float> weight, double epsilon,
                                     TensorView y_out) {
  GPTVQ_RETURN_IF_ERROR(CheckRmsNorm(kDType, x, weight, y_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchRmsNorm(PlanPieces(x.rows, x.cols),
                       {.x = Bf16OnDevice(x),
                        .weight = weight.data,
                        .y_out = Bf16OnDevice(y_out),
                        .pieces_per_row = 1,
                        .width = x.cols,
                        .epsilon = static_cast<float>(epsilon)},
                       context_.stream());
}

absl::Status CudaForwardOps::RmsNormHeads(TensorView x, int head_count, MatrixView<const float> weight,
                                          double epsilon) {
  GPTVQ_RETURN_IF_ERROR(CheckRmsNormHeads(kDType, x, head_count, weight));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchRmsNorm(PlanPieces(x.rows * head_count, weight.cols),
                       {.x = Bf16OnDevice(ConstTensorView(x)),
                        .weight = weight.data,
                        .y_out = Bf16OnDevice(x),
                        .pieces_per_row = head_count,
                        .width = weight.cols,
                        .epsilon = static_cast<float>(epsilon)},
                       context_.stream());
}

absl::Status CudaForwardOps::ApplyRotary(TensorView x, int head_count, MatrixView<const float> cosines,
                                         MatrixView<const float> sines) {
  GPTVQ_RETURN_IF_ERROR(CheckApplyRotary(kDType, x, head_count, cosines, sines));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchApplyRotary(PlanRows(x.rows, x.cols / 2, context_.limits()), Bf16OnDevice(x), ReadOnly(cosines),
                           ReadOnly(sines), context_.stream());
}

absl::Status CudaForwardOps::CausalAttention(ConstTensorView q, ConstTensorView k, ConstTensorView v,
                                             const AttentionShape& shape, TensorView out) {
  GPTVQ_RETURN_IF_ERROR(CheckCausalAttention(kDType, q, k, v, shape, out));
  if (q.rows == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const AttentionPlan plan, PlanAttention(shape, q.rows / shape.sequence_length));
  AttentionArguments arguments = {.shape = shape,
                                  .q = Bf16OnDevice(q),
                                  .k = Bf16OnDevice(k),
                                  .v = Bf16OnDevice(v),
                                  .out = Bf16OnDevice(out),
                                  .first_sequence = 0};
  for (std::int64_t launch = 0; launch < plan.launches; ++launch) {
    arguments.first_sequence = launch * plan.grid_z;
    GPTVQ_RETURN_IF_ERROR(LaunchCausalAttention(plan, arguments, context_.stream()));
  }
  return absl::OkStatus();
}

absl::Status CudaForwardOps::SwiGlu(ConstTensorView gate_tensor, ConstTensorView up_tensor, TensorView out_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckSwiGlu(kDType, gate_tensor, up_tensor, out_tensor));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const ConstBf16View gate = Bf16OnDevice(gate_tensor), up = Bf16OnDevice(up_tensor);
  const int pack = PackWidth(gate, up, Bf16OnDevice(ConstTensorView(out_tensor)));
  return LaunchSwiGlu(PlanRows(gate.rows, gate.cols / pack, context_.limits()), gate, up, Bf16OnDevice(out_tensor),
                      context_.stream());
}

absl::Status CudaForwardOps::AddInPlace(ConstTensorView x_tensor, TensorView y_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckAddInPlace(kDType, x_tensor, y_tensor));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const ConstBf16View x = Bf16OnDevice(x_tensor);
  const int pack = PackWidth(x, x, Bf16OnDevice(ConstTensorView(y_tensor)));
  return LaunchAddInPlace(PlanRows(x.rows, x.cols / pack, context_.limits()), x, Bf16OnDevice(y_tensor),
                          context_.stream());
}

absl::Status CudaForwardOps::Convert(ConstTensorView x, TensorView y_out) {
  GPTVQ_RETURN_IF_ERROR(CheckConvert(kDType, x, y_out));
  if (x.rows == 0 || x.cols == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const cudaStream_t stream = context_.stream();
  if (x.dtype == y_out.dtype) {
    const std::size_t element = DTypeBytes(x.dtype);
    return CudaStatus(
        cudaMemcpy2DAsync(y_out.data, static_cast<std::size_t>(y_out.stride) * element, x.data,
                          static_cast<std::size_t>(x.stride) * element, static_cast<std::size_t>(x.cols) * element,
                          static_cast<std::size_t>(x.rows), cudaMemcpyDefault, stream),
        "Convert");
  }
  const RowsPlan plan = PlanRows(x.rows, x.cols, context_.limits());
  if (x.dtype == DType::kF32) return LaunchToBf16(plan, OnDevice(x.As<const float>()), Bf16OnDevice(y_out), stream);
  if (x.dtype == DType::kBf16) return LaunchFromBf16(plan, Bf16OnDevice(x), OnDevice(y_out.As<float>()), stream);
  const ConstHalfView half = {static_cast<const std::uint16_t*>(x.data), x.rows, x.cols, x.stride};
  return y_out.dtype == DType::kF32 ? LaunchFromHalf(plan, half, OnDevice(y_out.As<float>()), stream)
                                    : LaunchHalfToBf16(plan, half, Bf16OnDevice(y_out), stream);
}

absl::Status CudaForwardOps::AccumulateLogSumExp(ConstTensorView hidden_tensor, ConstTensorView head_tensor,
                                                 std::int64_t first_token, absl::Span<const std::int32_t> targets,
                                                 LogSumExpState state) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateLogSumExp(kDType, hidden_tensor, head_tensor, targets, state));
  const ConstBf16View hidden = Bf16OnDevice(hidden_tensor), head = Bf16OnDevice(head_tensor);
  if (hidden.rows == 0 || head.rows == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const auto targets_device, DeviceBuffer<std::int32_t>::FromHost(context_, targets));
  constexpr std::int64_t kVocabulary =
      16384;  // rows of the head at a time, so that some 1000 tokens share each read of it
  const std::int64_t width = std::min(kVocabulary, head.rows);
  const std::int64_t chunk = std::min(PlanTokenChunk(width, kScratchBytes), hidden.rows);
  GPTVQ_ASSIGN_OR_RETURN(const DeviceBuffer<float> scratch, DeviceBuffer<float>::Make(context_, chunk * width));
  for (std::int64_t token = 0; token < hidden.rows; token += chunk) {
    const std::int64_t count = std::min(chunk, hidden.rows - token);
    const auto rows_of = [&](MatrixView<float> column) { return OnDevice(column.Rows(token, count)); };
    for (std::int64_t entry = 0; entry < head.rows; entry += width) {
      const DeviceView<float> logits = {scratch.data(), count, std::min(width, head.rows - entry), width};
      GPTVQ_RETURN_IF_ERROR(MultiplyToFloat(
          context_,
          {.a = RowsOf(hidden, token, count), .b = RowsOf(head, entry, logits.cols), .transpose_b = Transpose::kYes},
          0.0f, logits));
      GPTVQ_RETURN_IF_ERROR(LaunchFoldLogits(PlanPieces(count, logits.cols),
                                             {.logits = {logits.data, logits.rows, logits.cols, logits.stride},
                                              .targets = targets_device.data() + token,
                                              .first_token = first_token + entry,
                                              .max = rows_of(state.max),
                                              .sum = rows_of(state.sum),
                                              .target_logit = rows_of(state.target_logit)},
                                             context_.stream()));
    }
  }
  return context_.Sync("AccumulateLogSumExp");  // the targets are the caller's
}

}  // namespace gptvq::cuda
