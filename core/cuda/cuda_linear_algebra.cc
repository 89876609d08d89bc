// Products, the Hessian, and the operations that touch every element once.
#include <algorithm>
#include <vector>

#include "core/backend/hessian_panels.h"
#include "core/backend/quant_checks.h"
#include "core/backend/require.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/hessian_kernels.h"
#include "core/cuda/matrix_kernels.h"
#include "core/cuda/products.h"

namespace gptvq::cuda {
namespace {

// h += x^T x on and above the diagonal, panel by panel: rows [0, panel.begin) by one rectangular product straight into h,
// the square below by one into scratch memory, of which the upper triangle is added. x has no bad rows.
absl::Status AddProducts(DeviceContext& context, ConstBf16View x, absl::Span<const IndexRange> panels,
                         DeviceView<float> h) {
  if (panels.empty()) return absl::OkStatus();
  const std::int64_t widest = panels.front().count();  // only the last of all may be narrower
  GPTVQ_ASSIGN_OR_RETURN(const DeviceBuffer<float> scratch, DeviceBuffer<float>::Make(context, widest * widest));
  for (const IndexRange& panel : panels) {
    const std::int64_t width = panel.count();
    const ConstBf16View right = {x.data + panel.begin, x.rows, width, x.stride};
    const ConstBf16View left = {x.data, x.rows, panel.begin, x.stride};
    GPTVQ_RETURN_IF_ERROR(MultiplyToFloat(context, {.a = left, .transpose_a = Transpose::kYes, .b = right}, 1.0f,
                                          {h.data + panel.begin, panel.begin, width, h.stride}));
    const DeviceView<float> square = {scratch.data(), width, width, width};
    GPTVQ_RETURN_IF_ERROR(
        MultiplyToFloat(context, {.a = right, .transpose_a = Transpose::kYes, .b = right}, 0.0f, square));
    const DeviceView<float> diagonal = {&h.row(panel.begin)[panel.begin], width, width, h.stride};
    GPTVQ_RETURN_IF_ERROR(LaunchAddUpperTriangle(PlanRows(width, width, context.limits()),
                                                 {square.data, square.rows, square.cols, square.stride}, diagonal,
                                                 context.stream()));
  }
  return absl::OkStatus();
}

// The same when some rows are bad: through copies with zeros in their place, a bounded number of rows at a time.
absl::Status AddGoodProducts(DeviceContext& context, ConstBf16View x, const std::uint8_t* row_is_bad,
                             absl::Span<const IndexRange> panels, DeviceView<float> h) {
  constexpr std::int64_t kCopyRows = 16384;
  const std::int64_t chunk = std::min(kCopyRows, x.rows);
  GPTVQ_ASSIGN_OR_RETURN(const auto copy, DeviceBuffer<std::uint16_t>::Make(context, chunk * x.cols));
  for (std::int64_t first = 0; first < x.rows; first += chunk) {
    const std::int64_t count = std::min(chunk, x.rows - first);
    const Bf16View part = {copy.data(), count, x.cols, x.cols};
    GPTVQ_RETURN_IF_ERROR(LaunchCopyGoodRows(PlanRows(count, x.cols, context.limits()),
                                             {x.row(first), count, x.cols, x.stride}, row_is_bad + first, part,
                                             context.stream()));
    GPTVQ_RETURN_IF_ERROR(AddProducts(context, {part.data, part.rows, part.cols, part.stride}, panels, h));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::int64_t> CudaQuantOps::AccumulateHessian(ConstTensorView x, MatrixView<float> h) {
  return AccumulateHessianPanels(x, HessianPanels(h.cols), h);
}

absl::StatusOr<std::int64_t> CudaQuantOps::AccumulateHessianPanels(ConstTensorView x_tensor,
                                                                   absl::Span<const IndexRange> panels,
                                                                   MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateHessianPanels(DType::kBf16, x_tensor, panels, h));
  if (x_tensor.rows == 0 || x_tensor.cols == 0) return 0;
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  const ConstBf16View x = Bf16OnDevice(x_tensor);
  GPTVQ_ASSIGN_OR_RETURN(const auto row_is_bad, DeviceBuffer<std::uint8_t>::Make(context_, x.rows));
  GPTVQ_ASSIGN_OR_RETURN(const auto bad_count, DeviceBuffer<unsigned long long>::Make(context_, 1));
  GPTVQ_RETURN_IF_ERROR(context_.Zero(bad_count.data(), bad_count.bytes()));
  GPTVQ_RETURN_IF_ERROR(LaunchFindBadRows(PlanWarpRows(x.rows, context_.limits()), x, row_is_bad.data(),
                                          bad_count.data(), context_.stream()));
  unsigned long long bad_rows = 0;
  GPTVQ_RETURN_IF_ERROR(bad_count.ToHostSync(absl::MakeSpan(&bad_rows, 1)));
  GPTVQ_RETURN_IF_ERROR(bad_rows == 0 ? AddProducts(context_, x, panels, OnDevice(h))
                                      : AddGoodProducts(context_, x, row_is_bad.data(), panels, OnDevice(h)));
  return static_cast<std::int64_t>(bad_rows);
}

absl::Status CudaQuantOps::Symmetrize(MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckSquare("Symmetrize", h));
  if (h.rows == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchSymmetrize(PlanTriangle(h.rows), OnDevice(h), context_.stream());
}

absl::Status CudaQuantOps::MatMul(float alpha, MatrixView<const float> a, Transpose transpose_a,
                                  MatrixView<const float> b, Transpose transpose_b, float beta, MatrixView<float> c) {
  GPTVQ_RETURN_IF_ERROR(CheckMatMul(a, transpose_a, b, transpose_b, c));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return Multiply(context_, {.alpha = alpha,
                             .a = ReadOnly(a),
                             .transpose_a = transpose_a,
                             .b = ReadOnly(b),
                             .transpose_b = transpose_b,
                             .beta = beta,
                             .c = OnDevice(c),
                             .row_unit = row_unit_});
}

absl::Status CudaQuantOps::CoarseMatMul(MatrixView<const float> a, MatrixView<const float> b, float beta,
                                        MatrixView<float> c) {
  GPTVQ_RETURN_IF_ERROR(CheckMatMul(a, Transpose::kNo, b, Transpose::kNo, c));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return MultiplyCoarsely(context_,
                          {.a = ReadOnly(a), .b = ReadOnly(b), .beta = beta, .c = OnDevice(c), .row_unit = row_unit_});
}

absl::Status CudaQuantOps::Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) {
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(x, y), "Axpby", "x and y have the same shape"));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchAxpby(PlanRows(y.rows, y.cols, context_.limits()), {.alpha = alpha, .beta = beta}, ReadOnly(x),
                     OnDevice(y), context_.stream());
}

absl::Status CudaQuantOps::RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) {
  GPTVQ_RETURN_IF_ERROR(CheckRowDots(a, b, dots_out));
  if (a.rows == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const auto dots, DeviceBuffer<double>::Make(context_, a.rows));
  GPTVQ_RETURN_IF_ERROR(
      LaunchRowDots(PlanWarpRows(a.rows, context_.limits()), ReadOnly(a), ReadOnly(b), dots.data(), context_.stream()));
  return dots.ToHostSync(dots_out);
}

absl::Status CudaQuantOps::BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) {
  GPTVQ_RETURN_IF_ERROR(CheckBlockAbsMax(x, block_columns, maxima_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchBlockAbsMax(PlanWarpRows(x.rows, context_.limits()), ReadOnly(x), block_columns, OnDevice(maxima_out),
                           context_.stream());
}

}  // namespace gptvq::cuda
