// cuBLAS is column-major: a row-major matrix is its own transpose there, and C = op(A) op(B) becomes
// C^T = op(B)^T op(A)^T, the same flags with the factors exchanged.
#include "core/cuda/products.h"

#include <library_types.h>

#include <algorithm>

#include "core/cuda/matrix_kernels.h"

namespace gptvq::cuda {
namespace {

cublasOperation_t OperationOf(Transpose transpose) { return transpose == Transpose::kNo ? CUBLAS_OP_N : CUBLAS_OP_T; }

// One operand or the result, its type spelled out.
struct Operand {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  std::int64_t stride = 0;
  Transpose transpose = Transpose::kNo;
};

absl::Status Gemm(DeviceContext& context, std::int64_t rows, std::int64_t cols, std::int64_t inner, float alpha,
                  const Operand& a, const Operand& b, float beta, const Operand& c,
                  cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
  GPTVQ_ASSIGN_OR_RETURN(cublasHandle_t cublas, context.Cublas());
  return CublasStatus(
      context.libraries().cublas_gemm(cublas, OperationOf(b.transpose), OperationOf(a.transpose), cols, rows, inner,
                                      &alpha, b.data, b.type, b.stride, a.data, a.type, a.stride, &beta,
                                      const_cast<void*>(c.data), c.type, c.stride, compute, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

std::int64_t InnerOf(Transpose transpose_a, std::int64_t rows, std::int64_t cols) {
  return transpose_a == Transpose::kNo ? cols : rows;
}

// From here on what the split costs is small against what it saves, and its error against that of a sum in f32.
bool IsWorthSplitting(const FloatProduct& product, std::int64_t inner) {
  constexpr std::int64_t kLeastSide = 256;
  constexpr std::int64_t kLeastInner = 64;
  const std::int64_t rows = product.row_unit > 0 ? product.row_unit : product.c.rows;
  return rows >= kLeastSide && product.c.cols >= kLeastSide && inner >= kLeastInner;
}

std::int64_t BytesOf(cudaDataType type) { return type == CUDA_R_16BF ? 2 : 4; }

// c = alpha a b + beta c by pieces of `row_unit` rows, or as a whole.
struct RowwiseGemm {
  float alpha = 1;
  Operand a, b;
  std::int64_t inner = 0;
  float beta = 0;
  DeviceView<float> c;
  std::int64_t row_unit = 0;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
};
absl::Status GemmByRows(DeviceContext& context, const RowwiseGemm& gemm) {
  const DeviceView<float>& c = gemm.c;
  const std::int64_t piece = gemm.row_unit > 0 ? gemm.row_unit : c.rows;
  for (std::int64_t first = 0; first < c.rows; first += piece) {
    Operand rows = gemm.a;
    const std::int64_t offset = first * (rows.transpose == Transpose::kNo ? rows.stride : 1);
    rows.data = static_cast<const char*>(rows.data) + offset * BytesOf(rows.type);
    GPTVQ_RETURN_IF_ERROR(Gemm(context, std::min(piece, c.rows - first), c.cols, gemm.inner, gemm.alpha, rows, gemm.b,
                               gemm.beta, {c.row(first), CUDA_R_32F, c.stride}, gemm.compute));
  }
  return absl::OkStatus();
}

// `count` of the elements of the inner axis from `first` on.
DeviceView<const float> InnerPart(const DeviceView<const float>& matrix, InnerAxis inner, std::int64_t first,
                                  std::int64_t count) {
  if (inner == InnerAxis::kCols) return {matrix.data + first, matrix.rows, count, matrix.stride};
  return {matrix.row(first), count, matrix.cols, matrix.stride};
}

// Packs a part of an operand into `memory`.
absl::StatusOr<Operand> Split(DeviceContext& context, const DeviceView<const float>& part, InnerAxis inner,
                              SplitOrder order, Transpose transpose, const DeviceBuffer<float>& memory) {
  const bool along_cols = inner == InnerAxis::kCols;
  const std::int64_t rows = along_cols ? part.rows : 3 * part.rows, cols = along_cols ? 3 * part.cols : part.cols;
  GPTVQ_RETURN_IF_ERROR(LaunchSplit(
      PlanRows(part.rows, part.cols, context.limits()),
      {.matrix = part, .inner = inner, .order = order, .out = {memory.data(), rows, cols, cols}}, context.stream()));
  return Operand{memory.data(), CUDA_R_32F, cols, transpose};
}

// By pieces of the inner axis, so that the packed operands stay small.
absl::Status MultiplySplit(DeviceContext& context, const FloatProduct& product, std::int64_t inner) {
  constexpr std::int64_t kPiece = 1024;
  const DeviceView<float>& c = product.c;
  const InnerAxis a_inner = product.transpose_a == Transpose::kNo ? InnerAxis::kCols : InnerAxis::kRows;
  const InnerAxis b_inner = product.transpose_b == Transpose::kNo ? InnerAxis::kRows : InnerAxis::kCols;
  const std::int64_t piece = std::min(kPiece, inner);
  GPTVQ_ASSIGN_OR_RETURN(const auto a_memory, DeviceBuffer<float>::Make(context, 3 * piece * c.rows));
  GPTVQ_ASSIGN_OR_RETURN(const auto b_memory, DeviceBuffer<float>::Make(context, 3 * piece * c.cols));
  for (std::int64_t first = 0; first < inner; first += piece) {
    const std::int64_t count = std::min(piece, inner - first);
    GPTVQ_ASSIGN_OR_RETURN(const Operand a, Split(context, InnerPart(product.a, a_inner, first, count), a_inner,
                                                  SplitOrder::kLowHighHigh, product.transpose_a, a_memory));
    GPTVQ_ASSIGN_OR_RETURN(const Operand b, Split(context, InnerPart(product.b, b_inner, first, count), b_inner,
                                                  SplitOrder::kHighLowHigh, product.transpose_b, b_memory));
    GPTVQ_RETURN_IF_ERROR(GemmByRows(context, {.alpha = product.alpha,
                                               .a = a,
                                               .b = b,
                                               .inner = 3 * count,
                                               .beta = first == 0 ? product.beta : 1.0f,
                                               .c = c,
                                               .row_unit = product.row_unit,
                                               .compute = CUBLAS_COMPUTE_32F_FAST_TF32}));
  }
  return absl::OkStatus();
}

// Packs a part of an operand into `memory`.
absl::StatusOr<Operand> Round(DeviceContext& context, const DeviceView<const float>& part,
                              const DeviceBuffer<std::uint16_t>& memory) {
  GPTVQ_RETURN_IF_ERROR(LaunchToBf16(PlanRows(part.rows, part.cols, context.limits()), part,
                                     {memory.data(), part.rows, part.cols, part.cols}, context.stream()));
  return Operand{memory.data(), CUDA_R_16BF, part.cols, Transpose::kNo};
}

}  // namespace

absl::Status Multiply(DeviceContext& context, const FloatProduct& product) {
  const DeviceView<float>& c = product.c;
  if (c.rows == 0 || c.cols == 0) return absl::OkStatus();
  const std::int64_t inner = InnerOf(product.transpose_a, product.a.rows, product.a.cols);
  if (inner == 0) {
    return LaunchAxpby(PlanRows(c.rows, c.cols, context.limits()), {.alpha = 0, .beta = product.beta}, {}, c,
                       context.stream());
  }
  if (IsWorthSplitting(product, inner)) return MultiplySplit(context, product, inner);
  return GemmByRows(context, {.alpha = product.alpha,
                              .a = {product.a.data, CUDA_R_32F, product.a.stride, product.transpose_a},
                              .b = {product.b.data, CUDA_R_32F, product.b.stride, product.transpose_b},
                              .inner = inner,
                              .beta = product.beta,
                              .c = c,
                              .row_unit = product.row_unit});
}

absl::Status MultiplyCoarsely(DeviceContext& context, const CoarseProduct& product) {
  // Long enough that the tensor cores, not the visits to c, take the time: 4096 inner elements are 8192 operations for
  // each element of c, 8 ps at 989 TFLOP/s, where 8 bytes take 2.4 ps.
  constexpr std::int64_t kPiece = 4096;
  const DeviceView<float>& c = product.c;
  if (c.rows == 0 || c.cols == 0) return absl::OkStatus();
  const std::int64_t inner = product.a.cols;
  if (inner == 0) {
    return LaunchAxpby(PlanRows(c.rows, c.cols, context.limits()), {.alpha = 0, .beta = product.beta}, {}, c,
                       context.stream());
  }
  const std::int64_t piece = std::min(kPiece, inner);
  GPTVQ_ASSIGN_OR_RETURN(const auto a_memory, DeviceBuffer<std::uint16_t>::Make(context, piece * c.rows));
  GPTVQ_ASSIGN_OR_RETURN(const auto b_memory, DeviceBuffer<std::uint16_t>::Make(context, piece * c.cols));
  for (std::int64_t first = 0; first < inner; first += piece) {
    const std::int64_t count = std::min(piece, inner - first);
    GPTVQ_ASSIGN_OR_RETURN(const Operand a,
                           Round(context, InnerPart(product.a, InnerAxis::kCols, first, count), a_memory));
    GPTVQ_ASSIGN_OR_RETURN(const Operand b,
                           Round(context, InnerPart(product.b, InnerAxis::kRows, first, count), b_memory));
    GPTVQ_RETURN_IF_ERROR(GemmByRows(context, {.a = a,
                                               .b = b,
                                               .inner = count,
                                               .beta = first == 0 ? product.beta : 1.0f,
                                               .c = c,
                                               .row_unit = product.row_unit}));
  }
  return absl::OkStatus();
}

absl::Status MultiplyToFloat(DeviceContext& context, const Bf16Product& product, float beta, DeviceView<float> c) {
  if (c.rows == 0 || c.cols == 0) return absl::OkStatus();
  const std::int64_t inner = InnerOf(product.transpose_a, product.a.rows, product.a.cols);
  if (inner == 0) {
    return LaunchAxpby(PlanRows(c.rows, c.cols, context.limits()), {.alpha = 0, .beta = beta}, {}, c, context.stream());
  }
  return Gemm(
      context, c.rows, c.cols, inner, 1.0f, {product.a.data, CUDA_R_16BF, product.a.stride, product.transpose_a},
      {product.b.data, CUDA_R_16BF, product.b.stride, product.transpose_b}, beta, {c.data, CUDA_R_32F, c.stride});
}

absl::Status MultiplyToBf16(DeviceContext& context, const Bf16Product& product, Bf16View c_out) {
  if (c_out.rows == 0 || c_out.cols == 0) return absl::OkStatus();
  const std::int64_t inner = InnerOf(product.transpose_a, product.a.rows, product.a.cols);
  if (inner == 0) {
    return CudaStatus(cudaMemset2DAsync(c_out.data, static_cast<std::size_t>(c_out.stride) * 2, 0,
                                        static_cast<std::size_t>(c_out.cols) * 2, static_cast<std::size_t>(c_out.rows),
                                        context.stream()),
                      "product of nothing");
  }
  return Gemm(context, c_out.rows, c_out.cols, inner, 1.0f,
              {product.a.data, CUDA_R_16BF, product.a.stride, product.transpose_a},
              {product.b.data, CUDA_R_16BF, product.b.stride, product.transpose_b}, 0.0f,
              {c_out.data, CUDA_R_16BF, c_out.stride});
}

}  // namespace gptvq::cuda
