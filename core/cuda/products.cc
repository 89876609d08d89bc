// cuBLAS is column-major: a row-major matrix is its own transpose there, and C = op(A) op(B) becomes
// C^T = op(B)^T op(A)^T, the same flags with the factors exchanged.
#include "core/cuda/products.h"

#include <library_types.h>

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
                  const Operand& a, const Operand& b, float beta, const Operand& c) {
  GPTVQ_ASSIGN_OR_RETURN(cublasHandle_t cublas, context.Cublas());
  return CublasStatus(
      cublasGemmEx_64(cublas, OperationOf(b.transpose), OperationOf(a.transpose), cols, rows, inner, &alpha, b.data,
                      b.type, b.stride, a.data, a.type, a.stride, &beta, const_cast<void*>(c.data), c.type, c.stride,
                      CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

std::int64_t InnerOf(Transpose transpose_a, std::int64_t rows, std::int64_t cols) {
  return transpose_a == Transpose::kNo ? cols : rows;
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
  return Gemm(context, c.rows, c.cols, inner, product.alpha,
              {product.a.data, CUDA_R_32F, product.a.stride, product.transpose_a},
              {product.b.data, CUDA_R_32F, product.b.stride, product.transpose_b}, product.beta,
              {c.data, CUDA_R_32F, c.stride});
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
