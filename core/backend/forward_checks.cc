#include "core/backend/forward_checks.h"

#include <initializer_list>
#include <string_view>

#include "core/backend/require.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status RequireDType(DType dtype, std::string_view operation, std::initializer_list<ConstTensorView> tensors) {
  for (const ConstTensorView& tensor : tensors) {
    GPTVQ_RETURN_IF_ERROR(Require(tensor.dtype == dtype, operation, "every tensor has the backend's activation dtype"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLinear(DType dtype, ConstTensorView x, ConstTensorView w, MatrixView<const float> bias,
                         ConstTensorView y) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "Linear", {x, w, y}));
  GPTVQ_RETURN_IF_ERROR(Require(x.cols == w.cols, "Linear", "x and w have the same number of columns"));
  GPTVQ_RETURN_IF_ERROR(
      Require(HasShape(y, x.rows, w.rows), "Linear", "y has a row per row of x, a column per row of w"));
  return Require(bias.data == nullptr || HasShape(bias, 1, w.rows), "Linear", "bias is empty or one row as wide as y");
}

absl::Status CheckRmsNorm(DType dtype, ConstTensorView x, MatrixView<const float> weight, ConstTensorView y) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "RmsNorm", {x, y}));
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(x, y), "RmsNorm", "x and y have the same shape"));
  return Require(HasShape(weight, 1, x.cols), "RmsNorm", "weight is one row as wide as x");
}

absl::Status CheckRmsNormHeads(DType dtype, ConstTensorView x, int head_count, MatrixView<const float> weight) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "RmsNormHeads", {x}));
  GPTVQ_RETURN_IF_ERROR(Require(head_count > 0 && x.cols % head_count == 0, "RmsNormHeads",
                                "the number of heads is positive and divides the columns of x"));
  return Require(HasShape(weight, 1, x.cols / head_count), "RmsNormHeads", "weight is one row as wide as a head");
}

absl::Status CheckApplyRotary(DType dtype, ConstTensorView x, int head_count, MatrixView<const float> cosines,
                              MatrixView<const float> sines) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "ApplyRotary", {x}));
  GPTVQ_RETURN_IF_ERROR(Require(head_count > 0 && x.cols % (2 * head_count) == 0, "ApplyRotary",
                                "the number of heads is positive and cuts the columns of x into pieces of even width"));
  GPTVQ_RETURN_IF_ERROR(Require(cosines.cols == x.cols / (2 * head_count) && SameShape(cosines, sines), "ApplyRotary",
                                "cosines and sines have half a head's columns"));
  return Require(x.rows == 0 || cosines.rows > 0, "ApplyRotary", "there is an angle for every position");
}

absl::Status CheckCausalAttention(DType dtype, ConstTensorView q, ConstTensorView k, ConstTensorView v,
                                  const AttentionShape& shape, ConstTensorView out) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "CausalAttention", {q, k, v, out}));
  GPTVQ_RETURN_IF_ERROR(Require(shape.head_dim > 0 && shape.kv_head_count > 0 && shape.head_count > 0 &&
                                    shape.head_count % shape.kv_head_count == 0,
                                "CausalAttention", "the key/value heads divide the query heads"));
  GPTVQ_RETURN_IF_ERROR(Require(shape.sequence_length > 0 && q.rows % shape.sequence_length == 0, "CausalAttention",
                                "the rows of q are whole sequences"));
  GPTVQ_RETURN_IF_ERROR(Require(shape.sliding_window >= 0, "CausalAttention", "the sliding window is not negative"));
  const std::int64_t q_cols = static_cast<std::int64_t>(shape.head_count) * shape.head_dim;
  const std::int64_t kv_cols = static_cast<std::int64_t>(shape.kv_head_count) * shape.head_dim;
  GPTVQ_RETURN_IF_ERROR(Require(q.cols == q_cols && SameShape(q, out), "CausalAttention",
                                "q and out have head_count * head_dim columns"));
  return Require(HasShape(k, q.rows, kv_cols) && HasShape(v, q.rows, kv_cols), "CausalAttention",
                 "k and v have kv_head_count * head_dim columns and the rows of q");
}

absl::Status CheckSwiGlu(DType dtype, ConstTensorView gate, ConstTensorView up, ConstTensorView out) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "SwiGlu", {gate, up, out}));
  return Require(SameShape(gate, up) && SameShape(gate, out), "SwiGlu", "gate, up and out have the same shape");
}

absl::Status CheckAddInPlace(DType dtype, ConstTensorView x, ConstTensorView y) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "AddInPlace", {x, y}));
  return Require(SameShape(x, y), "AddInPlace", "x and y have the same shape");
}

absl::Status CheckConvert(DType dtype, ConstTensorView x, ConstTensorView y) {
  GPTVQ_RETURN_IF_ERROR(Require(x.dtype == DType::kF32 || x.dtype == DType::kF16 || x.dtype == DType::kBf16, "Convert",
                                "x is f32, f16 or bf16"));
  GPTVQ_RETURN_IF_ERROR(
      Require(y.dtype == DType::kF32 || y.dtype == dtype, "Convert", "y is f32 or of the backend's activation dtype"));
  return Require(SameShape(x, y), "Convert", "x and y have the same shape");
}

absl::Status CheckAccumulateLogSumExp(DType dtype, ConstTensorView hidden, ConstTensorView head,
                                      absl::Span<const std::int32_t> targets, const LogSumExpState& state) {
  GPTVQ_RETURN_IF_ERROR(RequireDType(dtype, "AccumulateLogSumExp", {hidden, head}));
  GPTVQ_RETURN_IF_ERROR(
      Require(hidden.cols == head.cols, "AccumulateLogSumExp", "hidden and head have the same number of columns"));
  GPTVQ_RETURN_IF_ERROR(Require(static_cast<std::int64_t>(targets.size()) == hidden.rows, "AccumulateLogSumExp",
                                "there is a target per row of hidden"));
  return Require(HasShape(state.max, hidden.rows, 1) && HasShape(state.sum, hidden.rows, 1) &&
                     HasShape(state.target_logit, hidden.rows, 1),
                 "AccumulateLogSumExp", "the state has a row per row of hidden and one column");
}

}  // namespace gptvq
